//! Misspelt variable names: a name that is nearly a known one is pointed out, never acted upon.

use super::source::file_name;
use super::table::rows;

/// The shortest known name for which a near miss is more than chance.
const SHORTEST: usize = 6;
/// From this length on two slips are allowed.
const LONG: usize = 9;

/// Names of other programs, and of this one's relatives, that are close to a known name and mean something else.
const FOREIGN: &[&str] = &[
    "FTP_PROXY",
    "HTTP_PROXY",
    "LOGNAME",
    "OPENAI_ADMIN_KEY",
    "OPENAI_API_BASE",
    "OPENAI_API_TYPE",
    "OPENAI_API_VERSION",
    "OPENAI_LOG",
    "OPENAI_MODEL",
    "OPENAI_ORGANIZATION",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT",
    "OPENAI_PROJECT_ID",
    "OPENAI_TIMEOUT",
    "OPENAI_WEBHOOK_SECRET",
    "RSYNC_PROXY",
    "SSL_CERT_DIR",
];

/// What people call a variable that has another name here.
const CALLED: [(&str, &str); 6] = [
    ("OPENAI_API_TOKEN", "OPENAI_API_KEY"),
    ("OPENAI_KEY", "OPENAI_API_KEY"),
    ("OPENAI_SECRET_KEY", "OPENAI_API_KEY"),
    ("OPENAI_TOKEN", "OPENAI_API_KEY"),
    ("RELAY_API_KEY", "RELAY_TOKEN"),
    ("RELAY_KEY", "RELAY_TOKEN"),
];

/// One sentence for each of the given names that is probably a misspelt known one.
pub(super) fn suspects(given: &[&str]) -> Vec<String> {
    let known: Vec<String> = rows()
        .flat_map(|row| row.names().map(str::to_owned))
        .collect();
    let long = known.iter().filter(|name| name.len() >= SHORTEST);
    let meant: Vec<String> = long
        .clone()
        .cloned()
        .chain(long.map(|name| file_name(name)))
        .collect();
    let mut names: Vec<&str> = given.to_vec();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| !is_foreign(name) && !known.iter().any(|known| is_form(name, known)))
        .filter_map(|name| {
            let called = CALLED.iter().find(|(called, _)| *called == name);
            let known = called.map(|(_, known)| *known);
            let known = known.filter(|known| !given.contains(known));
            let known = known.or_else(|| nearest(name, &meant));
            known.map(|known| format!("`{name}` is set; did you mean `{known}`?"))
        })
        .collect()
}

/// Whether a name is, in either case, one that means something else.
fn is_foreign(name: &str) -> bool {
    let bare = name.strip_suffix("_FILE").unwrap_or(name);
    FOREIGN
        .iter()
        .any(|foreign| foreign.eq_ignore_ascii_case(name) || foreign.eq_ignore_ascii_case(bare))
}

/// Whether a name is a known one, its file, or the same with a number behind it, as people keep spare keys.
fn is_form(name: &str, known: &str) -> bool {
    name.strip_prefix(known).is_some_and(|rest| {
        let digits = rest.strip_prefix('_').unwrap_or(rest);
        matches!(rest, "" | "_FILE") || digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    known
        .iter()
        .map(String::as_str)
        .find(|known| is_near(name, known))
}

fn is_near(name: &str, known: &str) -> bool {
    if letters(name) == letters(known) {
        return true;
    }
    let allowed = if known.len() >= LONG { 2 } else { 1 };
    name.len().abs_diff(known.len()) <= allowed
        && distance(name.as_bytes(), known.as_bytes()) <= allowed
}

fn letters(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

/// How many single changes lead from one text to the other; two swapped neighbours count as one change.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(a != b))
                .min(rows[i][j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_pointed_out() {
        let slips = [
            ("RELAY_TOKN", "RELAY_TOKEN"),
            ("RELAY_TOEKN", "RELAY_TOKEN"),
            ("OPENAI_APIKEY", "OPENAI_API_KEY"),
            ("OPENAI_KEY", "OPENAI_API_KEY"),
            ("openai_api_key", "OPENAI_API_KEY"),
            ("ALLOWED_ORIGIN", "ALLOWED_ORIGINS"),
            ("TRUSTED_PROXY", ""),
            ("RELAY_TOKEN_FIEL", "RELAY_TOKEN_FILE"),
            ("LOGLEVEL", "LOG_LEVEL"),
        ];
        for (name, known) in slips {
            let expected: Vec<String> = Some(known)
                .filter(|known| !known.is_empty())
                .map(|known| format!("`{name}` is set; did you mean `{known}`?"))
                .into_iter()
                .collect();
            assert_eq!(suspects(&[name]), expected, "{name}");
        }
    }

    #[test]
    fn known_foreign_and_numbered_names_are_left_alone() {
        let fine = [
            "PATH",
            "HOME",
            "HTTP_PROXY",
            "http_proxy",
            "OPENAI_API_URL",
            "OPENAI_API_KEY_2",
            "OPENAI_API_KEY1",
            "PORTS",
            "HOSTS",
            "HOSTFILE",
            "SSL_CERT_DIR",
            "SSL_CERT_FILE",
            "LOG_FILE",
            "DATABASE_URL_FILE",
            "TLS_KEY",
            "NODE_OPTIONS",
            "VITE_OPENAI_RELAY_URL",
        ];
        assert_eq!(suspects(&fine), Vec::<String>::new());
        assert_eq!(suspects(FOREIGN), Vec::<String>::new());
        for row in rows() {
            let names: Vec<&str> = row.names().collect();
            assert_eq!(suspects(&names), Vec::<String>::new());
        }
    }
}
