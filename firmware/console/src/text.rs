//! What comes from outside, made fit to be shown: printable ASCII, bounded. Names, paths and JSON of others pass through here, so
//! that none of them drives a terminal.

use core::fmt::Write as _;

/// Printable ASCII; all else stands as the numbers of its bytes, `\xNN`, and a backslash twice. `most` bounds what comes out; where
/// it was cut, two dots end it.
pub(crate) fn plain(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let before = out.len();
        match c {
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            '\t' => out.push(' '),
            _ => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String can't fail.
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
        }
        if out.len() > most {
            out.truncate(before.min(most.saturating_sub(2)));
            out.push_str("..");
            break;
        }
    }
    out
}

/// Bytes of a program's output, a line each. An empty end is no line.
pub(crate) fn lines(bytes: &[u8], most: usize, width: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().take(most).map(|line| plain(line.trim_end(), width)).collect()
}

/// At most `width` characters; two dots for what is left out behind.
pub(crate) fn clip(text: &str, width: usize) -> String {
    if text.len() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(2)).collect();
    cut.push_str("..");
    cut
}

/// At most `width` characters; two dots for what is left out in front: of a path the end says more.
pub(crate) fn clip_front(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(2);
    format!("..{}", text.chars().skip(count - keep).collect::<String>())
}

/// Lines of at most `width` characters, broken at spaces where there are some; all but the first are indented, and that one as far as
/// it was.
pub(crate) fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let width = width.max(indent + 8);
    let rest = text.trim_start_matches(' ');
    let mut line = " ".repeat((text.len() - rest.len()).min(indent));
    for word in rest.split(' ') {
        let mut word = word;
        loop {
            let space = usize::from(!line.trim_start().is_empty());
            if line.len() + space + word.len() <= width {
                if space == 1 {
                    line.push(' ');
                }
                line.push_str(word);
                break;
            }
            if line.trim_start().is_empty() {
                // Longer than a line.
                let at = word.floor_char_boundary(width - line.len());
                line.push_str(&word[..at]);
                word = &word[at..];
            }
            lines.push(core::mem::replace(&mut line, " ".repeat(indent)));
        }
    }
    if !line.trim_start().is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Seconds as `hh:mm:ss`, days in front.
pub(crate) fn clock(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let time = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days == 0 { time } else { format!("{days}d {time}") }
}

/// Unix seconds as a date and time in UTC. By the algorithm of Howard Hinnant's `civil_from_days`.
pub(crate) fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let Some(shifted) = days.checked_add(719_468).filter(|_| days < 3_000_000) else {
        return "a date that is none".to_owned();
    };
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", rest / 3600, rest / 60 % 60)
}

/// A length of time in one word.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes, in the unit that leaves at most four digits.
pub(crate) fn size(bytes: u64) -> String {
    let mut units = ["KiB", "MiB", "GiB"].into_iter();
    let (mut value, mut unit) = (bytes, "B");
    while value >= 10_000
        && let Some(next) = units.next()
    {
        (value, unit) = (value / 1024, next);
    }
    format!("{value} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_printable_ascii_comes_out() {
        for (text, most, expected) in [
            ("plain", 20, "plain"),
            ("a\x1b[2Jb", 20, "a\\x1b[2Jb"),
            ("tab\there\n", 20, "tab here\\x0a"),
            ("\u{9b}31m", 20, "\\xc2\\x9b31m"),
            ("gr\u{fc}n \u{202e}", 40, "gr\\xc3\\xbcn \\xe2\\x80\\xae"),
            ("back\\slash", 20, "back\\\\slash"),
            ("0123456789", 10, "0123456789"),
            ("0123456789a", 10, "01234567.."),
            ("0123456\x1b89", 10, "0123456.."),
            ("", 0, ""),
        ] {
            assert_eq!(plain(text, most), expected, "{text:?}");
        }
        for code in 0..0x3000u32 {
            let text: String = char::from_u32(code).into_iter().collect();
            assert!(plain(&text, 64).bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{code:#x}");
        }
        assert_eq!(lines(b"one\r\n\xfftwo\n\n", 9, 20), ["one", "\\xef\\xbf\\xbdtwo", ""]);
    }

    #[test]
    fn texts_are_cut_and_wrapped_where_they_end() {
        assert_eq!((clip("abcdef", 6).as_str(), clip("abcdefg", 6).as_str()), ("abcdef", "abcd.."));
        assert_eq!(clip_front("/data/workloads/x", 10), "..kloads/x");
        assert_eq!(wrap("one two three four", 12, 2), ["one two", "  three four"]);
        assert_eq!(wrap("abcdefghijklmnopqrstuvwxyz", 12, 2), ["abcdefghijkl", "  mnopqrstuv", "  wxyz"]);
        assert_eq!(wrap("   mend: it", 40, 3), ["   mend: it"]);
        assert_eq!(wrap("", 10, 2), [""]);
    }

    #[test]
    fn times_and_sizes() {
        assert_eq!(clock(3 * 86_400 + 3723), "3d 01:02:03");
        assert_eq!(date(0), "1970-01-01 00:00");
        assert_eq!(date(951_825_600), "2000-02-29 12:00");
        assert_eq!(date(1_796_025_013), "2026-11-30 07:50");
        assert_eq!(date(u64::MAX), "a date that is none");
        assert_eq!((size(9999).as_str(), size(65_011_712).as_str()), ("9999 B", "62 MiB"));
        assert_eq!((span(90).as_str(), span(1_987_200).as_str()), ("90 s", "23 days"));
    }
}
