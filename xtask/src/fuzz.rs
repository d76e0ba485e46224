//! `cargo xtask fuzz`: every parser of bytes from outside, under libFuzzer on the stable compiler.
