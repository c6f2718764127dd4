//! Text for people: control characters made visible, aligned tables, sizes, times and durations.

pub(super) use crate::domain::size::size;
use std::fmt::{self, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Shows text that others wrote: whatever could move the cursor, colour the terminal or reorder the line is escaped.
pub(super) struct Visible<'a>(pub(super) &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| if is_treacherous(c) { write!(f, "{}", c.escape_default()) } else { f.write_char(c) })
    }
}

/// Control characters, line and paragraph separators, bidirectional overrides and invisible characters.
fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// `text` made visible and cut to `columns` of the terminal, with an ellipsis where something was cut.
pub(super) fn clipped(text: &str, columns: usize) -> String {
    let shown = Visible(text).to_string();
    if shown.width() <= columns {
        return shown;
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in shown.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// Rows under a heading, each column as wide as its widest cell. Cells must be visible text already.
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// An empty table with these column names.
    pub(super) fn new(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(str::to_owned)] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: [usize; N] = std::array::from_fn(|column| self.rows.iter().map(|row| row[column].width()).max().unwrap_or_default());
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                write!(line, "{cell}{:1$}", "", width - cell.width() + 2)?;
            }
            write!(f, "{}{}", if index == 0 { "" } else { "\n" }, line.trim_end())?;
        }
        Ok(())
    }
}

/// Reads a size as people write it: `500`, `500MB`, `20 GiB`, `1.5TB`; `None` when it is none, or more than any disk holds.
pub(super) fn bytes(text: &str) -> Option<u64> {
    const MOST: f64 = (1_u64 << 53) as f64;
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: f64 = match unit.trim_start() {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "TiB" => 1_099_511_627_776.0,
        _ => return None,
    };
    let bytes = (number.parse::<f64>().ok()? * factor).round();
    (0.0..=MOST).contains(&bytes).then_some(bytes as u64)
}

/// A length of time as `1:02:03` or `2:03`.
pub(super) fn clock(duration_ms: u64) -> String {
    let s = duration_ms / 1000;
    let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m}:{s:02}") }
}

/// Epoch milliseconds as `2026-11-03 14:05:12 UTC` (proleptic Gregorian, days to civil after Hinnant).
pub(super) fn utc(epoch_ms: i64) -> String {
    let (days, second) = (epoch_ms.div_euclid(86_400_000), epoch_ms.rem_euclid(86_400_000) / 1000);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

/// Reads `90s`, `30m`, `12h` or `7d` as seconds.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "give a number and a unit: 90s, 30m, 12h or 7d".to_owned();
    let unit_s = match text.chars().next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let amount: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    amount.checked_mul(unit_s).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

/// Reads an http or https URL whose path can be extended.
pub(super) fn web_url(text: &str) -> Result<reqwest::Url, String> {
    let mut url = reqwest::Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("give a URL that begins with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("give the URL without a user name and password".to_owned());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_titles_are_shown_not_obeyed() {
        for (title, shown) in [
            ("Appendektomie – Teil 2 «Übersicht»", "Appendektomie – Teil 2 «Übersicht»"),
            ("\u{1b}[2J\u{1b}]0;owned\u{7}", "\\u{1b}[2J\\u{1b}]0;owned\\u{7}"),
            ("a\r\nSet-Cookie: x", "a\\r\\nSet-Cookie: x"),
            ("<script>alert(1)</script>", "<script>alert(1)</script>"),
            ("invoice\u{202e}gpj.exe", "invoice\\u{202e}gpj.exe"),
            ("a\u{9b}31mb\u{7f}\u{2028}\u{200b}", "a\\u{9b}31mb\\u{7f}\\u{2028}\\u{200b}"),
        ] {
            assert_eq!(Visible(title).to_string(), shown);
        }
    }

    #[test]
    fn tables_align_in_columns_of_the_terminal() {
        let mut table = Table::new(["ID", "TITLE", "STATE"]);
        table.row(["1".into(), "手術".into(), "ready".into()]);
        table.row(["22".into(), "a".into(), String::new()]);
        assert_eq!(table.to_string(), "ID  TITLE  STATE\n1   手術   ready\n22  a");
    }

    #[test]
    fn long_titles_are_clipped_by_columns() {
        assert_eq!(clipped("short", 5), "short");
        assert_eq!(clipped("longer", 5), "long…");
        assert_eq!(clipped("手術手術", 6), "手術…");
    }

    #[test]
    fn numbers_read_well() {
        for (bytes, shown) in
            [(0, "0 B"), (1536, "1.50 KiB"), (28_311_552, "27.0 MiB"), (1_073_741_823, "1.00 GiB"), (u64::MAX, "16384 PiB")]
        {
            assert_eq!(size(bytes), shown);
        }
        assert_eq!((clock(0), clock(62_999), clock(3_723_000)), ("0:00".into(), "1:02".into(), "1:02:03".into()));
    }

    #[test]
    fn dates_agree_with_the_calendar() {
        for (ms, shown) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_793_714_712_345, "2026-11-03 14:05:12 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(utc(ms), shown);
        }
    }

    #[test]
    fn durations_need_a_unit_and_fit() {
        assert_eq!((seconds("90s"), seconds("12h"), seconds("7d")), (Ok(90), Ok(43_200), Ok(604_800)));
        for wrong in ["", "12", "h", "0s", "-1h", "1.5h", "9999999999999999999d", "213503982334602d", "1µ"] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn urls_are_web_urls_without_secrets() {
        assert_eq!(web_url("http://h:8080/theatrum?x#y").expect("fine").as_str(), "http://h:8080/theatrum/");
        for wrong in ["h:8080", "ftp://h/", "/path", "https://user:secret@h/", "data:,x"] {
            assert!(web_url(wrong).is_err(), "{wrong}");
        }
    }
}
