//! In whose name a command changes the database, for the audit log.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::store::Actor;

/// The user of this machine who runs the command; with sudo, also who that was before. Whoever is root can be anybody: the log tells what
/// the system says.
pub(super) fn actor() -> Actor {
    let uid = fs::metadata("/proc/self").map(|own| own.uid()).ok();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = uid.map_or_else(|| std::env::var("USER").unwrap_or_default(), |uid| name(&passwd, uid));
    let before = std::env::var("SUDO_USER").ok().filter(|before| uid == Some(0) && !before.is_empty());
    let who = before.map_or(format!("os:{user}"), |before| format!("os:{user} (sudo: {before})"));
    Actor { who: who.into(), origin: "command line".into() }
}

/// The name of a user in `/etc/passwd`, or the number where there is none.
fn name(passwd: &str, uid: u32) -> String {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut found = fields.filter(|fields| fields.get(2).and_then(|field| field.parse().ok()) == Some(uid));
    found.next().map_or_else(|| uid.to_string(), |fields| fields[0].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_his_name_or_his_number() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n\nada:x:1000:1000::/home/ada:/bin/sh\nbroken\n";
        for (uid, expected) in [(0, "root"), (1000, "ada"), (7, "7")] {
            assert_eq!(name(passwd, uid), expected);
        }
    }
}
