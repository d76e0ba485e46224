//! Latencies and how results are shown.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Longest latency told apart: a minute. Anything longer counts as that.
const LONGEST_US: u64 = 60_000_000;

/// Collects latencies, to three significant digits.
pub struct Latencies(Histogram<u64>);

/// What is told of many latencies, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half took no longer.
    pub p50: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// 999 of 1,000 took no longer.
    pub p999: f64,
    /// None took longer.
    pub max: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "the bounds are constants that are right")]
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3).expect("right bounds");
        Self(histogram)
    }
}

impl Latencies {
    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// What is told of them; `None` without any.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let ms = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        (!self.0.is_empty()).then(|| Percentiles {
            p50: ms(0.50),
            p99: ms(0.99),
            p999: ms(0.999),
            max: self.0.max() as f64 / 1e3,
        })
    }
}

/// A report, given as JSON, as lines of `name  value` in its own order; nested names are joined by
/// a dot, and what stands in a list is named by its place. Units stand last in names.
pub fn table(report: &str) -> String {
    let rows = rows(report);
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// The same as a table of Markdown.
pub fn markdown(report: &str) -> String {
    let rows = rows(report).into_iter().map(|(name, value)| format!("| {name} | {value} |\n"));
    std::iter::once("| figure | value |\n|---|---|\n".to_owned()).chain(rows).collect()
}

fn rows(report: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    match serde_json::from_str(report) {
        Ok(shown) => flatten(String::new(), shown, &mut rows),
        Err(_) => rows.push(("report".to_owned(), report.to_owned())),
    }
    rows
}

fn flatten(name: String, shown: Shown, rows: &mut Vec<(String, String)>) {
    match shown {
        Shown::Value(value) => rows.push((name, value)),
        Shown::Fields(fields) => {
            for (field, shown) in fields {
                let path = if name.is_empty() { field } else { format!("{name}.{field}") };
                flatten(path, shown, rows);
            }
        }
    }
}

/// JSON as it is shown: fields in the order in which they were written.
enum Shown {
    Fields(Vec<(String, Shown)>),
    Value(String),
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Show)
    }
}

struct Show;

impl<'de> Visitor<'de> for Show {
    type Value = Shown;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fields, a list or a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shown, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Shown::Fields(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shown, A::Error> {
        let mut fields = Vec::new();
        while let Some(shown) = list.next_element()? {
            fields.push((fields.len().to_string(), shown));
        }
        Ok(Shown::Fields(fields))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Shown, E> {
        Ok(Shown::Value(short(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Shown, E> {
        Ok(Shown::Value(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Shown, E> {
        Ok(Shown::Value(value.to_string()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Shown, E> {
        Ok(Shown::Value(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Shown, E> {
        Ok(Shown::Value(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Shown, E> {
        Ok(Shown::Value("-".to_owned()))
    }
}

/// Three digits are what a measurement is worth.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles(), None);
        for ms in 1..=1_000 {
            latencies.record(Duration::from_millis(ms));
        }
        let told = latencies.percentiles().unwrap();
        for (told, ms) in
            [(told.p50, 500.0), (told.p99, 990.0), (told.p999, 999.0), (told.max, 1e3)]
        {
            assert!((told / ms - 1.0).abs() < 0.002, "{told} for {ms}");
        }
        latencies.record(Duration::from_secs(3_600));
        assert!(latencies.percentiles().unwrap().max >= 60_000.0);
    }

    #[test]
    fn a_report_becomes_aligned_lines_in_its_own_order() {
        let report = r#"{"rate_per_s": 1234.5, "lost": 0, "delivery_ms": {"p99": 0.1234},
            "cpu": null, "kernel": "6.1", "awake": true, "growth": -7, "steps": [{"p99": 2}, 3]}"#;
        let expected = "\
rate_per_s       1234
lost             0
delivery_ms.p99  0.123
cpu              -
kernel           6.1
awake            true
growth           -7
steps.0.p99      2
steps.1          3
";
        assert_eq!(table(report), expected);
        let first = "| figure | value |\n|---|---|\n| rate_per_s | 1234 |\n| lost | 0 |\n";
        assert!(markdown(report).starts_with(first), "{}", markdown(report));
    }
}
