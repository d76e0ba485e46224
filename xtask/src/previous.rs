//! The release before this one, built from its commit, so that an upgrade from it and back to it can be played.
//!
//! Cargo names what it builds of a workspace by where it lies under the root. So two checkouts take each other's
//! crates for their own if they share a folder of intermediate files. Here they are to share it, for the sake of
//! the crates of others; therefore the old crates lie one folder deeper, which is called like their commit, and only
//! the manifest of their workspace is changed for that (decision 0161).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{cargo, root, run, works};

/// The file that names it.
const NAMED: &str = include_str!("../previous-release");

/// Digits of a commit.
const COMMIT_DIGITS: usize = 40;

/// A release.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Release<'a> {
    version: &'a str,
    commit: &'a str,
}

impl Release<'static> {
    /// The one before this one.
    pub(crate) fn previous() -> Result<Self> {
        Self::read(NAMED).context("xtask/previous-release names no release")
    }
}

impl<'a> Release<'a> {
    fn read(text: &'a str) -> Result<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else { bail!("one line is wanted") };
        let (version, commit) =
            line.split_once(' ').context("a version and a commit are wanted")?;
        let is_whole =
            commit.len() == COMMIT_DIGITS && commit.bytes().all(|b| b.is_ascii_hexdigit());
        ensure!(is_whole, "{commit} is not the whole of a commit");
        Ok(Self { version, commit })
    }

    /// Its server, with everything compiled in that tests need. None, and a loud line that says how to get it, if
    /// this clone does not have that commit.
    pub(crate) fn server(&self) -> Result<Option<PathBuf>> {
        let Self { version, commit } = self;
        let there = root().display().to_string();
        let object = format!("{commit}^{{commit}}");
        if !works("git", &["-C", &there, "cat-file", "-e", &object]) {
            eprintln!(
                "\n!!! NOT TESTED: an upgrade from release {version}. Its commit is not in this clone; fetch it:\n\
                 !!!     git fetch --depth 1 origin {commit}\n"
            );
            return Ok(None);
        }
        eprintln!("building godwitd {version} of {commit}");
        let workspace = root().join("target/previous");
        self.unpack(&workspace)?;
        let built = workspace.join("built");
        // Everything as the check `build` has it, so that no crate of others is built again.
        let mut build = cargo();
        build.args(["build", "--workspace", "--all-features", "--bin", "godwitd", "--locked"]);
        build.current_dir(&workspace).env("CARGO_TARGET_DIR", &built);
        run(build.env("CARGO_BUILD_BUILD_DIR", root().join("target")))?;
        Ok(Some(built.join("debug/godwitd")))
    }

    /// Its files, in a folder that is called like its commit; its workspace beside it.
    fn unpack(&self, workspace: &Path) -> Result<()> {
        let home = workspace.join(self.commit);
        if !home.exists() {
            let part = workspace.join("part");
            if workspace.exists() {
                fs::remove_dir_all(workspace).context("an older release is in the way")?;
            }
            fs::create_dir_all(&part)?;
            self.extract(&part)?;
            for file in ["Cargo.toml", "Cargo.lock"] {
                fs::rename(part.join(file), workspace.join(file))?;
            }
            let manifest = fs::read_to_string(workspace.join("Cargo.toml"))?;
            fs::write(workspace.join("Cargo.toml"), deeper(&manifest, self.commit))?;
            // Last: what is half done has another name.
            fs::rename(part, home)?;
        }
        Ok(())
    }

    fn extract(&self, into: &Path) -> Result<()> {
        let mut git = Command::new("git");
        git.arg("-C").arg(root()).args(["archive", "--format=tar", self.commit]);
        let mut archive = git.stdout(Stdio::piped()).spawn().context("git does not start")?;
        let bytes = archive.stdout.take().context("git says nothing")?;
        let mut tar = Command::new("tar");
        let unpacked = tar.args(["-xf", "-", "-C"]).arg(into).stdin(bytes).status();
        let packed = archive.wait()?;
        ensure!(packed.success() && unpacked?.success(), "git archive {} failed", self.commit);
        Ok(())
    }
}

/// The manifest of a workspace whose members lie in this folder now.
fn deeper(manifest: &str, folder: &str) -> String {
    let mut deeper = manifest.to_owned();
    for place in ["crates/", "xtask\""] {
        deeper = deeper.replace(&format!("\"{place}"), &format!("\"{folder}/{place}"));
    }
    deeper
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn the_previous_release_is_named_and_the_changelog_has_it() {
        let previous = Release::previous().unwrap();
        let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
        let short = previous.commit.get(..7).unwrap();
        let heading = format!("## {} ({short})", previous.version);
        assert!(changelog.lines().any(|line| line == heading), "{heading}");
    }

    #[test]
    fn what_names_no_release_is_told() {
        let commit = "c92fc265b3b7c630bd285dbd3715261a147a783f";
        let good = format!("# why\n0.1.0 {commit}\n");
        assert_eq!(Release::read(&good).unwrap(), Release { version: "0.1.0", commit });
        let short = &commit[..COMMIT_DIGITS - 1];
        for wrong in ["", "0.1.0\n", &format!("0.1.0 {short}\n"), &format!("0.1.0 {short}g\n")] {
            assert!(Release::read(wrong).is_err(), "{wrong:?}");
        }
        assert!(Release::read(&format!("{good}{good}")).is_err(), "two of them");
    }

    /// The manifest of today, too: the next release is built so.
    #[test]
    fn all_members_of_the_workspace_lie_one_folder_deeper() {
        let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let deeper = deeper(&manifest, "abc");
        assert!(deeper.contains("members = [\"abc/crates/*\", \"abc/xtask\"]"), "{deeper}");
        let paths = deeper.lines().filter(|line| line.contains("path = \""));
        assert!(paths.clone().count() > 5);
        for line in paths {
            assert!(line.contains("path = \"abc/crates/"), "{line}");
        }
    }
}
