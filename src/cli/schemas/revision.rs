//! The files of a folder as git knows them at a revision.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, anyhow, bail};

/// What files of schemas are called.
const EXTENSIONS: [&str; 3] = ["avsc", "json", "proto"];
/// A file of schemas may have this many bytes, now and before.
const FILE_BYTES_MAX: u64 = 256 * 1_024;
/// So many files are read.
const FILES_MAX: usize = 20_000;

/// The schema files below `directory` at a revision: their paths below it, and their bytes. None where the folder was
/// not there.
pub(super) fn files_at(directory: &Path, revision: &str) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let commit =
        git(directory, &["rev-parse", "--verify", "--end-of-options", &format!("{revision}^{{commit}}")])
            .with_context(|| {
                format!("{revision} is no revision that git knows in {}", directory.display())
            })?;
    let commit = String::from_utf8(commit)?.trim().to_owned();
    let listed = git(directory, &["ls-tree", "-r", "-z", "--name-only", &commit, "--", "."])?;
    let listed = String::from_utf8(listed).context("git names a file that is no UTF-8")?;
    let names: Vec<String> = listed.split('\0').filter(|name| is_schema(name)).map(str::to_owned).collect();
    if names.len() > FILES_MAX {
        bail!("{revision} has {} schema files; at most {FILES_MAX} are read", names.len());
    }
    read(directory, &commit, names)
}

/// As the folder is read now: `.json`, `.avsc` and `.proto` files, but no examples and nothing hidden.
fn is_schema(name: &str) -> bool {
    let (folders, file) = name.rsplit_once('/').unwrap_or(("", name));
    let is_passed_over = |part: &str| part.starts_with('.') || part.ends_with(".examples");
    !name.contains('\n')
        && Path::new(file).extension().is_some_and(|extension| EXTENSIONS.iter().any(|own| extension == *own))
        && !file.starts_with('.')
        && !folders.split('/').any(is_passed_over)
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

fn git(directory: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = command(directory).args(arguments).output().context("cannot run git")?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        let told = told.lines().next().unwrap_or("it says nothing");
        return Err(anyhow!("git {}: {told}", arguments.first().unwrap_or(&"")));
    }
    Ok(output.stdout)
}

/// All blobs by one process; a thread asks while this one reads.
fn read(directory: &Path, commit: &str, names: Vec<String>) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut child = command(directory)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run git")?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        bail!("git takes no input");
    };
    let asked: String = names.iter().map(|name| format!("{commit}:./{name}\n")).collect();
    let asking = thread::spawn(move || stdin.write_all(asked.as_bytes()));
    let mut stdout = BufReader::new(stdout);
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let bytes = read_blob(&mut stdout).with_context(|| format!("{name} at {commit}"))?;
        files.push((PathBuf::from(name), bytes));
    }
    drop(stdout);
    let wrote = asking.join().map_err(|_| anyhow!("git was not asked"))?;
    wrote.context("cannot ask git")?;
    child.wait()?;
    Ok(files)
}

/// `{hash} blob {size}`, the bytes, a line break.
fn read_blob(stdout: &mut impl BufRead) -> anyhow::Result<Vec<u8>> {
    let mut head = String::new();
    stdout.read_line(&mut head)?;
    let size = match head.split_whitespace().collect::<Vec<_>>().as_slice() {
        [_, "blob", size] => size.parse::<u64>()?,
        _ => bail!("git does not give it: {}", head.trim()),
    };
    if size > FILE_BYTES_MAX {
        bail!("it has {size} bytes; at most {FILE_BYTES_MAX} are allowed");
    }
    let mut bytes = Vec::new();
    stdout.take(size).read_to_end(&mut bytes)?;
    let mut end = [0];
    stdout.read_exact(&mut end)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::is_schema;

    #[test]
    fn examples_and_hidden_files_are_no_schemas() {
        assert!(is_schema("orders/placed/v1.json") && is_schema("common.json"));
        assert!(is_schema("orders/placed/v1.avsc") && is_schema("shop/money.proto"));
        for name in [
            "orders/v1.examples/valid/a.json",
            ".hidden/v1.json",
            "a/.v1.json",
            "README.md",
            "a/json",
            "v1.proto3",
        ] {
            assert!(!is_schema(name), "{name}");
        }
    }
}
