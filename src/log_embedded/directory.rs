//! The engine's directory: one process owns it, and it lies on a disk of this machine.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// File systems whose locks or syncs cannot be relied on.
const REMOTE: [&str; 10] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs"];

/// Why a directory cannot be had.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another process holds it.
    Held {
        /// What the lock file says of the holder.
        holder: String,
    },
    /// It lies on a network file system of this kind.
    Remote(String),
    /// The file system refuses.
    Io(io::Error),
}

/// The directory, held until dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes the directory where it is absent and takes it for this process.
    pub(super) fn hold(path: &Path) -> Result<Self, Refusal> {
        make(path).map_err(Refusal::Io)?;
        let path = path.canonicalize().map_err(Refusal::Io)?;
        if let Some(kind) = mount_kind(&path).filter(|kind| REMOTE.contains(&kind.as_str())) {
            return Err(Refusal::Remote(kind));
        }
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join("lock"));
        let mut lock = open.map_err(Refusal::Io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).map_err(Refusal::Io)?;
                return Err(Refusal::Held { holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(Refusal::Io(error)),
        }
        let mark = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "process {}", std::process::id())
        };
        mark(&mut lock).map_err(Refusal::Io)?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("weirgate.db")
    }

    pub(super) fn high_water(&self) -> PathBuf {
        self.path.join("high-water")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a gateway's data directory, for its owner alone. Blocks.
///
/// The entry of every directory that was made is written to the disk: a power loss must not take the directory of events
/// that were acknowledged.
///
/// # Errors
/// What the file system says.
pub fn make(path: &Path) -> io::Result<()> {
    let absent: Vec<&Path> =
        path.ancestors().filter(|one| !one.as_os_str().is_empty()).take_while(|one| !one.exists()).collect();
    // Payloads and keys lie in it: nobody else on this machine is to read them.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for made in absent {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// The kind of the file system a path lies on, where the system tells.
fn mount_kind(path: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    kind_of(&mounts, path)
}

fn kind_of(mounts: &str, path: &Path) -> Option<String> {
    mounts
        .lines()
        .filter_map(|line| {
            let (mount, source) = line.split_once(" - ")?;
            let point = mount.split(' ').nth(4)?;
            let is_above = path.starts_with(point.replace("\\040", " "));
            is_above.then_some((point.len(), source.split(' ').next()?))
        })
        // Of mounts on the same point the latest is the one seen.
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Directory, Refusal, kind_of};

    #[test]
    fn a_second_holder_is_told_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let held = Directory::hold(directory.path()).unwrap();
        let Err(Refusal::Held { holder }) = Directory::hold(directory.path()) else { panic!("held twice") };
        assert_eq!(holder, format!("process {}", std::process::id()));
        drop(held);
        assert!(Directory::hold(directory.path()).is_ok());
    }

    #[test]
    fn the_mount_nearest_to_the_path_tells_its_kind() {
        let mounts = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
                      40 22 0:35 / /srv/data rw,relatime shared:1 - nfs4 host:/x rw\n\
                      41 22 0:36 / /srv/with\\040space rw - cifs //host/x rw\n";
        let kind = |path| kind_of(mounts, Path::new(path)).unwrap();
        assert_eq!(kind("/srv/data/weirgate"), "nfs4");
        assert_eq!(kind("/srv/database"), "ext4");
        assert_eq!(kind("/srv/with space/x"), "cifs");
    }
}
