//! Passwords where none belong: in an address, which tables, logs and messages show.

/// Whether the text of a setting has a password in it, or another secret: `https://user:password@host`, `user:password@host`,
/// `https://host/?sig=…`.
///
/// What is in no address, such as `a:b@c` in the path of a file, is none.
pub(super) fn has_password(text: &str) -> bool {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .any(|address| match address.split_once("://") {
            Some((_, rest)) => {
                authority(rest).contains('@') || rest.split_once('?').is_some_and(has_value)
            }
            None => {
                let user = authority(address).rsplit_once('@');
                user.is_some_and(|(user, _)| user.contains(':'))
            }
        })
}

/// What is before the path and the query of an address.
fn authority(address: &str) -> &str {
    address.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Whether a query says anything that is not filled in later, as in `?queue={queue}`.
fn has_value((_, query): (&str, &str)) -> bool {
    let mut values = query.split('&').filter_map(|pair| pair.split_once('='));
    values.any(|(_, value)| !(value.starts_with('{') && value.ends_with('}')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_are_found() {
        for text in [
            "https://user:hunter2@host",
            "https://token@host:9000/path",
            "redis://:hunter2@redis:6379/0",
            "user:hunter2@redis",
            ":hunter2@redis:6379",
            "redis-1:26379,user:hunter2@redis-2",
            "https://account.blob.core.windows.net/c?sv=1&sig=hunter2",
            "s3://key:hunter2@bucket",
            "https://host/?queue={queue}&sig=hunter2",
        ] {
            assert!(has_password(text), "{text}");
        }
    }

    #[test]
    fn other_settings_are_left_alone() {
        for text in [
            "redis-master",
            "redis-1:26379, redis-2:26379",
            "[::1]:6379",
            "http://localhost:4443/path@2",
            "file:///data/user:lab@home",
            "/data/user:lab@home?x=1",
            "arn:aws:iam::123456789012:role/consumer@cluster",
            "me@lab.example",
            "https://host/?queue={queue}&trace={trace}",
            "segmentation",
            "",
        ] {
            assert!(!has_password(text), "{text}");
        }
    }
}
