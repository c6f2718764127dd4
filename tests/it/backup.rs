//! Backup and restore: a house is backed up under load, lost, and comes back; what was deleted stays deleted.

mod bucket;
mod damage;
mod drill;
mod incremental;
mod killed;
mod load;
mod replaced;
