//! What the program may open: itself, its libraries, and two devices (Landlock). Nothing can be written, made or removed.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, NetPort, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use std::path::Path;

/// Folders that hold shared libraries and the loader on the distributions Theatrum is run on; absent ones are skipped.
const LIBRARIES: [&str; 8] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64", "/nix/store", "/gnu/store"];
/// Files and folders that may be read: the loader's cache, random numbers, and how many processors there are.
const READABLE: [&str; 3] = ["/etc/ld.so.cache", "/dev/urandom", "/sys/devices/system/cpu"];
/// The oldest version that restricts reading and writing; older kernels are no sandbox.
const REQUIRED: ABI = ABI::V1;
/// The newest version whose rights the rules below were written for.
const WANTED: ABI = ABI::V7;

/// Confines this process and what it executes to `program`'s files and TCP connections to `door_port`, as far as this kernel can;
/// gives the Landlock version in force, 0 for none.
pub(super) fn confine(program: &Path, door_port: u16) -> Result<u32, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(LIBRARIES, read | AccessFs::Execute))?
        .add_rules(path_beneath_rules([program], AccessFs::ReadFile | AccessFs::Execute))?
        .add_rules(path_beneath_rules(READABLE, read))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::ReadFile | AccessFs::WriteFile))?
        .add_rule(NetPort::new(door_port, AccessNet::ConnectTcp))?
        .restrict_self()?;
    Ok(version(&status))
}

fn version(status: &RestrictionStatus) -> u32 {
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if effective_abi >= REQUIRED => effective_abi as u32,
        _ => 0,
    }
}
