//! Which version and which optional features both sides speak.

use crate::Refusal;
use crate::v1::Hello;

/// The newest protocol version that this code speaks. Version 1 is also the oldest.
pub const VERSION: u32 = 1;

/// Optional features that this code understands, one bit each; none is defined in version 1.
pub const FEATURES: u64 = 0;

/// What both sides speak from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spoken {
    /// The lower of the two newest versions.
    pub version: u32,
    /// The features that both understand.
    pub features: u64,
}

/// The server's answer to a hello: the lower version, the common features.
///
/// # Errors
/// [`Refusal::UnsupportedVersion`] for version 0, which never was.
pub fn negotiate(hello: &Hello) -> Result<Spoken, Refusal> {
    if hello.version == 0 {
        return Err(Refusal::UnsupportedVersion);
    }
    Ok(Spoken { version: hello.version.min(VERSION), features: hello.features & FEATURES })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(version: u32, features: u64) -> Result<Spoken, Refusal> {
        negotiate(&Hello { version, features, client: String::new() })
    }

    #[test]
    fn the_lower_version_and_the_common_features_win() {
        assert_eq!(offer(0, 0), Err(Refusal::UnsupportedVersion));
        assert_eq!(offer(1, 0), Ok(Spoken { version: 1, features: 0 }));
        assert_eq!(offer(u32::MAX, u64::MAX), Ok(Spoken { version: VERSION, features: FEATURES }));
    }
}
