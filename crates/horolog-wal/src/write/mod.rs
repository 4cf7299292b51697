//! Writing a log: opening it, appending, rotating, syncing beside the writer, copying what was salvaged.

mod copy;
mod heal;
mod meta;
mod open;
mod read_back;
mod retire;
mod rotate;
mod snapshot;
mod spare;
mod sync;
mod turn;
mod writer;

pub use self::copy::LogCopy;
pub use self::open::open_writer;
pub use self::read_back::UnreadSnapshot;
pub use self::retire::{RetirePlan, Retired};
pub use self::snapshot::{SealedSnapshot, SnapshotFile, SnapshotPlan};
pub use self::spare::{Spare, SparePlan};
pub use self::sync::{SlowSync, Syncer};
pub use self::writer::{Appended, Stamp, Writer};
