//! Our wheel and its peers.

pub(crate) mod btree;
pub(crate) mod channel;
pub(crate) mod delay_queue;
pub(crate) mod hash_wheel;
pub(crate) mod heap;
pub(crate) mod locked;
pub(crate) mod nexus;
pub(crate) mod ours;
pub(crate) mod pingora;
pub(crate) mod sleep;
