//! The real program's `config` command: exit codes and what it prints.

use crate::{PLANTED, Scratch};

#[test]
fn the_program_reports_every_error_on_stderr_and_exits_with_2() {
    let scratch = Scratch::new().with(".env", "DRAIN_TIMEOUT=never\n");
    let cases: [&[(&str, &str)]; 4] = [
        &[
            ("PORT", "80a"),
            ("OPENAI_BASE_URL", "https://u:S3cretS3cret@a.example"),
        ],
        &[
            ("OPENAI_API_KEY", "Bearer sk-S3cretS3cret"),
            ("HOST", "nowhere"),
        ],
        &[
            ("RELAY_TOKEN", "S3cretS3cret-1"),
            ("OPENAI_RELAY_TOKEN", "S3cretS3cret-2"),
        ],
        &[
            ("RELAY_ENV", "staging"),
            ("ALLOWED_ORIGINS", "null"),
            ("TRUSTED_PROXIES", "*"),
        ],
    ];
    for case in cases {
        let output = scratch.run(case);
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains("DRAIN_TIMEOUT: "), "{err}");
        for (name, _) in case
            .iter()
            .filter(|(name, _)| *name != "OPENAI_RELAY_TOKEN")
        {
            assert!(err.contains(&format!("{name}: ")), "{name}: {err}");
        }
        assert!(
            !out.contains(PLANTED) && !err.contains(PLANTED),
            "{out}{err}"
        );
        assert!(!err.contains("panicked"), "{err}");
    }
}

#[test]
fn the_program_prints_the_values_in_effect_with_their_sources() {
    let scratch = Scratch::new().with(".env", "PORT=9001\n");
    let output = scratch.run(&[
        ("OPENAI_API_KEY", "sk-S3cretS3cret"),
        ("HTTPS_PROXY", "http://u:S3cret@proxy:1"),
    ]);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(
        out.lines().any(|line| line.starts_with("PORT ")
            && line.contains("9001")
            && line.ends_with(".env line 1")),
        "{out}"
    );
    assert!(
        out.lines()
            .any(|line| line.starts_with("OPENAI_API_KEY ") && line.contains("(15 characters)")),
        "{out}"
    );
    assert!(
        !out.contains(PLANTED) && !err.contains(PLANTED),
        "{out}{err}"
    );
}
