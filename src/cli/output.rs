//! Standard output: where results go, so that nothing else may.
//!
//! A closed pipe comes back as an error instead of a panic, and each line is there when it is written: whoever started the gateway
//! waits for `ready`.

use std::io::{self, Write as _};

use clap::ValueEnum;
use zeroize::Zeroizing;

/// How a new credential is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
    /// `export NAME='value'`, for `eval`.
    Shell,
    /// `#define NAME "value"`, for firmware.
    #[value(name = "c-header")]
    Header,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ListFormat {
    /// A table for people.
    #[value(alias = "table")]
    Text,
    /// One JSON object a line.
    Json,
}

/// One line.
pub(super) fn line(text: &str) -> io::Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// Bytes as they are.
pub(super) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// `export DEVICE_ID='sensor-1'`, a line each.
pub(super) fn exports(values: &[(&str, &str)]) -> Zeroizing<String> {
    let lines = values.iter().map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', r"'\''")));
    Zeroizing::new(lines.collect::<String>().trim_end().to_owned())
}

/// `#define DEVICE_ID "sensor-1"`, a line each, to be included once.
pub(super) fn header(values: &[(&str, &str)]) -> Zeroizing<String> {
    let guard = "SEALGATE_CREDENTIALS_H";
    let lines = values.iter().map(|(name, value)| format!("#define {name} \"{}\"\n", in_c(value)));
    let lines = Zeroizing::new(lines.collect::<String>());
    Zeroizing::new(format!("#ifndef {guard}\n#define {guard}\n\n{}\n#endif", *lines))
}

/// As a string literal of C holds it. Names and secrets are printable ASCII; `?` is escaped so that no two make a trigraph.
fn in_c(value: &str) -> String {
    value.chars().flat_map(|c| matches!(c, '"' | '\\' | '?').then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_a_compiler() {
        let header = header(&[("A", "a\"b\\c??="), ("B", "1")]);
        assert!(header.contains("#define A \"a\\\"b\\\\c\\?\\?=\"\n#define B \"1\"\n"), "{}", *header);
        assert!(header.starts_with("#ifndef") && header.ends_with("#endif"));
    }

    #[test]
    fn values_survive_the_shell() {
        assert_eq!(&**exports(&[("A", "it's"), ("B", "1")]), "export A='it'\\''s'\nexport B='1'");
    }
}
