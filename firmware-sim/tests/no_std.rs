//! The machine needs no std and no allocator, and none of the crates below brings one in.
#![allow(clippy::unwrap_used, reason = "a test ends where what it builds on does not hold")]

use std::path::Path;
use std::process::Command;

#[test]
fn firmware_links_it_without_std_and_without_an_allocator() {
    // The versions that the workspace was tested with, and that are already there: nothing is fetched.
    std::fs::copy(crate_dir().join("../Cargo.lock"), firmware_dir().join("Cargo.lock")).unwrap();
    build(&[]);
    build(&["--features", "cose"]);
}

fn build(features: &[&str]) {
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no_std");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--lib", "--offline"])
        .args(features)
        .current_dir(firmware_dir())
        .env("CARGO_TARGET_DIR", target_dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{features:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn firmware_dir() -> std::path::PathBuf {
    crate_dir().join("tests/no_std")
}

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
