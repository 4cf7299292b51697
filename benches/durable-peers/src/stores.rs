//! The peers, and ours.

pub(crate) mod beanstalkd;
pub(crate) mod fjall;
pub(crate) mod okaywal;
pub(crate) mod ours;
pub(crate) mod raft;
pub(crate) mod redb;
pub(crate) mod redis;
mod server;
pub(crate) mod sqlite;
