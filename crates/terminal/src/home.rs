//! Where this device keeps its keys and messages.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::Failure;

/// The folder that was asked for, else `$XDG_DATA_HOME/godwit`, else `~/.local/share/godwit`.
///
/// # Errors
/// `Usage` if none of them is known.
pub(crate) fn folder(asked: Option<PathBuf>) -> Result<PathBuf, Failure> {
    choose(asked, env::var_os("XDG_DATA_HOME"), env::var_os("HOME")).ok_or_else(|| {
        Failure::Usage(
            "no home folder is known: give one with --home DIR or GODWIT_HOME".to_owned(),
        )
    })
}

fn choose(
    asked: Option<PathBuf>,
    data: Option<OsString>,
    home: Option<OsString>,
) -> Option<PathBuf> {
    // The XDG rules: a relative path counts as not set.
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let data = || data.and_then(absolute);
    let home = || home.and_then(absolute).map(|home| home.join(".local/share"));
    asked
        .filter(|path| !path.as_os_str().is_empty())
        .or_else(|| data().or_else(home).map(|data| data.join("godwit")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_then_xdg_then_home() {
        let path = |text: &str| Some(PathBuf::from(text));
        let var = |text: &str| Some(OsString::from(text));
        assert_eq!(choose(path("here"), var("/d"), var("/h")), path("here"));
        assert_eq!(choose(None, var("/d"), var("/h")), path("/d/godwit"));
        assert_eq!(choose(None, var("relative"), var("/h")), path("/h/.local/share/godwit"));
        assert_eq!(choose(path(""), None, var("/h")), path("/h/.local/share/godwit"));
        assert_eq!(choose(None, None, None), None);
    }
}
