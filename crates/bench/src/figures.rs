//! Latencies and how results are shown.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::Value;

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

/// A report as lines of `name  value`; nested names are joined by a dot. Units stand last in names.
pub fn table(report: &Value) -> String {
    let mut rows = Vec::new();
    flatten("", report, &mut rows);
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let separator = if name.is_empty() { "" } else { "." };
                flatten(&format!("{name}{separator}{field}"), value, rows);
            }
        }
        Value::Number(number) => {
            let text = number.as_f64().filter(|_| number.is_f64()).map(short);
            rows.push((name.to_owned(), text.unwrap_or_else(|| number.to_string())));
        }
        Value::Null => rows.push((name.to_owned(), "-".to_owned())),
        Value::String(text) => rows.push((name.to_owned(), text.clone())),
        Value::Bool(_) | Value::Array(_) => rows.push((name.to_owned(), value.to_string())),
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
    fn a_report_becomes_aligned_lines() {
        let report = serde_json::json!({
            "lost": 0, "rate_per_s": 1234.5, "delivery_ms": { "p50": 0.1234 }, "cpu": null,
        });
        let expected = "\
cpu              -
delivery_ms.p50  0.123
lost             0
rate_per_s       1234
";
        let mut lines: Vec<String> = table(&report).lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines.join("\n") + "\n", expected);
    }
}
