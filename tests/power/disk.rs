//! A small disk of our own: ext4 on a loop device on an image file.
//!
//! What processes have written is in the page cache of the file system on the device, and reaches the
//! device when they call fsync, or when the kernel writes it back after seconds. So the image at one
//! moment, copied without sync or unmount, is what a machine finds after the power was lost at that
//! moment: mounting the copy replays the journal of ext4, as booting would.
//!
//! The copy must be of one moment although copying takes some: it is taken again if the device has
//! completed a write meanwhile or has one under way (`/sys/block/loopN/stat`). The node is stopped before,
//! so only the kernel writes, and not for long. Loop devices read and write the image through the page
//! cache, so the copy has every completed write of the device.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use harness::Scratch;

/// Why a test is left out, if the machine is said to have no loop devices.
const WITHOUT: &str = "CAUSEWAY_WITHOUT_LOOP";

/// A mounted disk, gone with this value.
#[derive(Debug)]
pub struct Disk {
    scratch: Scratch,
    /// `/dev/loopN`, empty if not attached.
    device: String,
}

impl Disk {
    /// An empty disk of so many MiB; `None` if `CAUSEWAY_WITHOUT_LOOP=1` says that there can be none.
    ///
    /// # Panics
    ///
    /// If there is none although nobody said so.
    #[must_use]
    pub fn create(mib: u64) -> Option<Self> {
        if std::env::var(WITHOUT).is_ok_and(|value| value == "1") {
            eprintln!(
                "left out: {WITHOUT}=1, so nothing is known about a loss of power or a full disk"
            );
            return None;
        }
        let disk = Self::bare();
        let image = std::fs::File::create(disk.image()).unwrap();
        image.set_len(mib << 20).unwrap();
        let owner = image.metadata().unwrap();
        let owner = format!(
            "lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner={}:{}",
            owner.uid(),
            owner.gid()
        );
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.env("PATH", path());
        mkfs.args(["-q", "-F", "-m", "0", "-E", &owner]);
        run(mkfs.arg(disk.image()));
        Some(disk.mounted())
    }

    fn bare() -> Self {
        Self {
            scratch: Scratch::new("disk"),
            device: String::new(),
        }
    }

    fn mounted(mut self) -> Self {
        let image = self.image().to_str().unwrap().to_owned();
        self.device = as_root(&["losetup", "--find", "--show", &image]);
        std::fs::create_dir_all(self.folder()).unwrap();
        let folder = self.folder().to_str().unwrap().to_owned();
        as_root(&[
            "mount",
            "-t",
            "ext4",
            "-o",
            "noatime",
            &self.device,
            &folder,
        ]);
        self
    }

    fn image(&self) -> PathBuf {
        self.scratch.path().join("image")
    }

    /// Where it is mounted.
    pub fn folder(&self) -> PathBuf {
        self.scratch.path().join("mounted")
    }

    /// The file of a node's database on it.
    pub fn database(&self) -> PathBuf {
        self.folder().join("data/causeway.db")
    }

    /// What is left of this disk if the power is lost now.
    pub fn after_power_loss(&self) -> Self {
        let copy = Self::bare();
        for _ in 0..100 {
            let before = self.writes();
            std::fs::copy(self.image(), copy.image()).unwrap();
            if before.is_some() && self.writes() == before {
                return copy.mounted();
            }
        }
        panic!("{} is never quiet for the time of a copy", self.device);
    }

    /// What the device has completed that changes it; `None` while something is under way.
    fn writes(&self) -> Option<Vec<u64>> {
        let name = self.device.trim_start_matches("/dev/");
        let text = std::fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
        let fields: Vec<u64> = text
            .split_whitespace()
            .map(|field| field.parse().unwrap())
            .collect();
        // Documentation/block/stat.rst: 4 and 6 writes, 8 in flight, 11 and 13 discards.
        (fields[8] == 0).then(|| {
            [4, 6, 11, 13]
                .map(|index| fields.get(index).copied().unwrap_or(0))
                .to_vec()
        })
    }

    /// Takes all room but `left` bytes with a file, which is returned.
    pub fn fill(&self, left: u64) -> PathBuf {
        let ballast = self.folder().join("ballast");
        let mut df = Command::new("df");
        df.args(["--block-size=1", "--output=avail"])
            .arg(self.folder());
        let free: u64 = run(&mut df).lines().last().unwrap().trim().parse().unwrap();
        let mut fallocate = Command::new("fallocate");
        fallocate.args(["--length", &free.saturating_sub(left).to_string()]);
        run(fallocate.arg(&ballast));
        ballast
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.device.is_empty() {
            return;
        }
        let folder = self.folder();
        for arguments in [
            ["umount", "--lazy", folder.to_str().unwrap_or_default()],
            ["losetup", "--detach", &self.device],
        ] {
            let _ = root_command(&arguments).output();
        }
    }
}

/// Programs for disks are where the PATH of ordinary users does not look.
fn path() -> String {
    format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    )
}

fn root_command(arguments: &[&str]) -> Command {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let (program, arguments) = if is_root {
        (arguments[0], &arguments[1..])
    } else {
        ("sudo", arguments)
    };
    let mut command = Command::new(program);
    command.env("PATH", path());
    if !is_root {
        command.arg("-n");
    }
    command.args(arguments);
    command
}

fn as_root(arguments: &[&str]) -> String {
    run(&mut root_command(arguments))
}

fn run(command: &mut Command) -> String {
    let help = format!(
        "this test needs root and loop devices (apt-get install e2fsprogs mount); \
         set {WITHOUT}=1 to leave it out"
    );
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}; {help}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?} failed: {error}; {help}"
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// `PRAGMA integrity_check` on a copy of the database, so that the node finds it as it was left.
pub async fn check_integrity(database: &Path) {
    use sqlx::{Connection as _, SqliteConnection};
    let scratch = Scratch::new("integrity");
    for suffix in ["", "-wal"] {
        let name = format!("causeway.db{suffix}");
        let from = database.with_file_name(&name);
        if from.exists() {
            std::fs::copy(from, scratch.path().join(&name)).unwrap();
        }
    }
    let copy = scratch.path().join("causeway.db");
    let mut connection = SqliteConnection::connect(copy.to_str().unwrap())
        .await
        .unwrap();
    let found: Vec<String> = sqlx::query_scalar("pragma integrity_check")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(found, ["ok"]);
}
