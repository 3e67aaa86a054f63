//! Pure: which names and addresses a user may have.

use std::borrow::Cow;

use super::password;
use crate::error::{Problem, Refusal};

/// Characters of a name.
const NAME: std::ops::RangeInclusive<usize> = 3..=50;
/// The longest address (RFC 5321 section 4.5.3.1.3) and what stands before its `@`, in bytes.
const LONGEST_EMAIL: usize = 254;
const LONGEST_LOCAL: usize = 64;

/// Who somebody wants to be.
#[derive(Clone, Debug)]
pub struct Details {
    /// The name.
    pub username: String,
    /// The address.
    pub email: String,
    /// The password.
    pub password: String,
}

impl Details {
    /// The same with its address in the form in which addresses are kept, or all that is wrong.
    pub(super) fn checked(mut self) -> Result<Details, Refusal> {
        let mut problems = Vec::new();
        if let Some(problem) = name_problem(&self.username) {
            problems.push(Problem::of("username", problem));
        }
        match clean_email(&self.email) {
            Ok(email) => self.email = email,
            Err(problem) => problems.push(Problem::of("email", problem)),
        }
        if let Some(weakness) = password::weakness(&self.password, &self.username, &self.email) {
            problems.push(Problem::of("password", weakness));
        }
        match problems.is_empty() {
            true => Ok(self),
            false => Err(Refusal::over_fields(problems)),
        }
    }
}

fn name_problem(name: &str) -> Option<Cow<'static, str>> {
    if !NAME.contains(&name.chars().count()) {
        return Some("Use 3 to 50 characters.".into());
    }
    if name.trim() != name {
        return Some("Leave out the space at the ends.".into());
    }
    name.chars()
        .any(is_unseen)
        .then(|| "Use characters that can be seen.".into())
}

/// Characters that would let two names look like one.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The domain in lower case, as domains mean the same in any.
fn clean_email(email: &str) -> Result<String, &'static str> {
    let not_one = "Write it as name@example.com.";
    let email = email.trim();
    let (local, domain) = email.rsplit_once('@').ok_or(not_one)?;
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let is_domain = domain.contains('.') && domain.split('.').all(is_label);
    let is_local = !local.is_empty()
        && local.len() <= LONGEST_LOCAL
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local
            .chars()
            .all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c));
    if !is_domain || !is_local || email.len() > LONGEST_EMAIL {
        return Err(not_one);
    }
    Ok(format!("{local}@{}", domain.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_three_to_fifty_characters_that_can_be_seen() {
        for name in ["bob", "Jörg Müller", "李小龙", "a.b-c_d@e", &"x".repeat(50)] {
            assert_eq!(name_problem(name), None, "{name}");
        }
        for name in [
            "ab",
            " bob",
            "bob ",
            "bo\nb",
            "bob\u{200b}",
            "b\u{202e}ob",
            &"x".repeat(51),
        ] {
            assert!(name_problem(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn addresses_have_a_name_and_a_domain() {
        assert_eq!(
            clean_email(" Bob@EXAMPLE.com "),
            Ok("Bob@example.com".to_owned())
        );
        for email in ["o'brien+tag@mail.example.co.uk", "用户@例子.测试"] {
            assert!(clean_email(email).is_ok(), "{email}");
        }
        for email in [
            "",
            "bob",
            "@example.com",
            "bob@",
            "bob@localhost",
            "bob@-a.com",
            "bob@a..com",
            "b ob@example.com",
            "bob@exam ple.com",
            ".bob@example.com",
            "a..b@example.com",
            "bob@example.com\n",
            "<b>@example.com",
        ] {
            let trimmed = email.trim() != email;
            assert!(trimmed || clean_email(email).is_err(), "{email:?}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let details = Details {
            username: "x".to_owned(),
            email: "x".to_owned(),
            password: "x".to_owned(),
        };
        let refusal = details.checked().expect_err("three problems");
        let fields: Vec<_> = refusal
            .problems()
            .iter()
            .map(|one| one.field.as_str())
            .collect();
        assert_eq!(fields, ["username", "email", "password"]);
    }
}
