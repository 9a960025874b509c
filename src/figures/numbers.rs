//! Numbers as people read them.

/// A number with commas between its thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many things, whose plural ends in `s`.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        count => format!("{} {thing}s", grouped(count)),
    }
}

/// A number of jobs.
pub(crate) fn jobs(count: usize) -> String {
    counted(count as u64, "job")
}

/// Bytes as people read them: `4.4GB`.
pub(crate) fn size(bytes: f64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes < 100.0 * unit => format!("{:.1}{name}", bytes / unit),
        Some((unit, name)) => format!("{:.0}{name}", bytes / unit),
        None => format!("{bytes:.0}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(8214), "8,214");
        assert_eq!(grouped(10_528_000), "10,528,000");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(counted(1, "item"), "1 item");
        assert_eq!(counted(0, "item"), "0 items");
        assert_eq!(counted(1000, "item"), "1,000 items");
    }

    #[test]
    fn sizes_have_two_or_three_digits() {
        assert_eq!(size(999.0), "999B");
        assert_eq!(size(4.4e9), "4.4GB");
        assert_eq!(size(110e6), "110MB");
        assert_eq!(size(2.5e13), "25.0TB");
    }
}
