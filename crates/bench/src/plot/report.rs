//! What of a report is drawn, and how several make a line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Axes, Series, bars, lines};
use crate::error::LoadError;
use crate::figures;

/// Files of one load in one folder: beyond that something runs astray.
const FILES_MAX: u32 = 10_000;

/// Units whose figures are drawn beside each other when a report has no latencies, the most telling
/// first.
const UNITS: [&str; 6] =
    ["_bytes_per_connection", "_per_cpu_s", "_us_per_message", "_per_s", "_bytes", "_s"];

/// How several reports make lines.
#[derive(Debug, Clone, clap::Args)]
pub struct Plot {
    /// Reports: files with one or more JSON objects each
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Figure along the bottom, like connections; parts of a name are joined by dots, and through a list,
    /// like steps.offered_per_s, there is a point for each of its entries
    #[arg(long, value_name = "NAME")]
    x: String,
    /// Figures of the lines, like delivery_ms.p99
    #[arg(long, value_name = "NAME", required = true, value_delimiter = ',')]
    y: Vec<String>,
    /// A line for each value of this figure, like window
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Powers of ten at equal distances along the bottom
    #[arg(long)]
    log_x: bool,
    /// Powers of ten at equal distances along the side
    #[arg(long)]
    log_y: bool,
    /// What stands above
    #[arg(long, default_value = "")]
    title: String,
}

impl Plot {
    /// The picture.
    ///
    /// # Errors
    /// [`LoadError::Io`], [`LoadError::NoFigure`] when a report lacks what is to be drawn,
    /// [`LoadError::Plot`].
    pub fn draw(&self) -> Result<String, LoadError> {
        let mut all = BTreeMap::<String, Vec<(f64, f64)>>::new();
        for file in &self.files {
            for report in read(file)? {
                for name in &self.y {
                    let points = points(&report, &self.x, name)
                        .map_err(|name| LoadError::NoFigure { file: file.clone(), name })?;
                    all.entry(self.series(name, &report)).or_default().extend(points);
                }
            }
        }
        let series = all.into_iter().map(|(name, mut points)| {
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            Series { name, points }
        });
        let (x, y) = (self.x.clone(), self.y.join(", "));
        let (title, log_x, log_y) = (self.title.clone(), self.log_x, self.log_y);
        lines(&series.collect::<Vec<_>>(), &Axes { title, x, y, log_x, log_y })
    }

    fn series(&self, name: &str, report: &Value) -> String {
        let Some(by) = &self.by else { return name.to_owned() };
        let value = at(report, by).map_or("-".to_owned(), |value| match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        });
        match self.y.len() {
            1 => format!("{by} {value}"),
            _ => format!("{name}, {by} {value}"),
        }
    }
}

/// Writes a report into a folder as JSON, as a Markdown table and as a picture, under its load's
/// name, with a number behind it if that is taken. Returns the path of the JSON.
///
/// # Errors
/// [`LoadError::Io`], [`LoadError::Plot`].
pub fn write(folder: &Path, report: &str) -> Result<PathBuf, LoadError> {
    let parsed: Value = serde_json::from_str(report).unwrap_or_default();
    let load = parsed["workload"].as_str().unwrap_or("report").to_owned();
    std::fs::create_dir_all(folder).map_err(LoadError::io("making the folder of reports"))?;
    let path = free_name(folder, &load);
    let write = |extension, text: &str| {
        std::fs::write(path.with_extension(extension), text)
            .map_err(LoadError::io("writing a report"))
    };
    write("json", &format!("{report}\n"))?;
    write("md", &figures::markdown(report))?;
    let (unit, shown) = telling(&parsed);
    write("svg", &bars(&load, &unit, &shown)?)?;
    Ok(path)
}

fn free_name(folder: &Path, load: &str) -> PathBuf {
    let name = |number| match number {
        1 => folder.join(format!("{load}.json")),
        _ => folder.join(format!("{load}-{number}.json")),
    };
    (1..FILES_MAX).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(FILES_MAX))
}

/// The figures of a report that belong into one picture, and their unit: latencies if it has any,
/// else those of the most telling unit of which there are several.
fn telling(report: &Value) -> (String, Vec<(String, f64)>) {
    let mut all = Vec::new();
    collect("", report, &mut all);
    let latencies: Vec<_> = all.iter().filter(|(name, _)| name.contains("_ms.")).cloned().collect();
    if !latencies.is_empty() {
        return ("ms".to_owned(), latencies);
    }
    let of = |unit: &str| all.iter().filter(|(name, _)| name.ends_with(unit)).cloned().collect();
    let groups = UNITS.map(|unit| (unit.trim_start_matches('_').to_owned(), of(unit)));
    let several = groups.iter().find(|(_, group): &&(_, Vec<_>)| group.len() > 1);
    several
        .or_else(|| groups.iter().find(|(_, group)| !group.is_empty()))
        .cloned()
        .unwrap_or_default()
}

/// All numbers below a value, with the path of their names; conditions are no figures.
fn collect(path: &str, value: &Value, all: &mut Vec<(String, f64)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| *name != "conditions") {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(&path, value, all);
            }
        }
        _ => all.extend(value.as_f64().map(|figure| (path.to_owned(), figure))),
    }
}

fn read(file: &Path) -> Result<Vec<Value>, LoadError> {
    let text = std::fs::read_to_string(file).map_err(LoadError::io("reading a report"))?;
    let reports = serde_json::Deserializer::from_str(&text).into_iter();
    let broken =
        |error: serde_json::Error| LoadError::Io { what: "reading a report", source: error.into() };
    reports.map(|report| report.map_err(broken)).collect()
}

fn at<'a>(report: &'a Value, name: &str) -> Option<&'a Value> {
    name.split('.').try_fold(report, |value, part| value.get(part))
}

/// The points of one report: one, or one for each entry of a list. An entry that lacks a figure has no
/// point; a name that has none at all is returned.
fn points(report: &Value, x: &str, y: &str) -> Result<Vec<(f64, f64)>, String> {
    let (across, up) = (figures_at(report, x), figures_at(report, y));
    for (name, figures) in [(x, &across), (y, &up)] {
        if figures.iter().all(Option::is_none) {
            return Err(name.to_owned());
        }
    }
    let across = match across.as_slice() {
        [one] => vec![*one; up.len()],
        _ => across,
    };
    Ok(across.into_iter().zip(up).filter_map(|(x, y)| x.zip(y)).collect())
}

/// The figures of a name, in the order of the lists that it goes through.
fn figures_at(value: &Value, name: &str) -> Vec<Option<f64>> {
    if let Value::Array(entries) = value {
        return entries.iter().flat_map(|entry| figures_at(entry, name)).collect();
    }
    match name.split_once('.') {
        Some((part, rest)) => value.get(part).map_or(vec![None], |value| figures_at(value, rest)),
        None => vec![value.get(name).and_then(Value::as_f64)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn idle(connections: u32, bytes: f64) -> String {
        json!({ "workload": "idle", "connections": connections, "user_bytes_per_connection": bytes,
            "kernel_bytes_per_connection": 3_864.0, "others_cpus": 0.03,
            "conditions": { "cpus": 2 } })
        .to_string()
    }

    fn plot(files: Vec<PathBuf>, y: &str, by: Option<&str>) -> Plot {
        let (x, y, by) = ("connections".to_owned(), vec![y.to_owned()], by.map(str::to_owned));
        Plot { files, x, y, by, log_x: true, log_y: false, title: "cost".to_owned() }
    }

    #[test]
    fn reports_of_one_folder_become_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let written = [(10_000, 671.0), (1_000, 1_597.0)]
            .map(|(count, bytes)| write(folder.path(), &idle(count, bytes)).unwrap());
        let names = written.clone().map(|path| path.file_name().unwrap().to_owned());
        assert_eq!(names, ["idle.json", "idle-2.json"], "the second does not replace the first");
        for extension in ["md", "svg"] {
            assert!(written[0].with_extension(extension).exists());
        }
        let svg = plot(written.to_vec(), "user_bytes_per_connection", None).draw().unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        let svg = plot(written.to_vec(), "user_bytes_per_connection", Some("connections"));
        assert!(svg.draw().unwrap().contains("connections 10000"), "a line for each");
    }

    #[test]
    fn each_step_of_a_report_is_a_point() {
        let step = |offered: f64, ms: Value| json!({ "offered_per_s": offered, "delivery_ms": ms });
        let steps =
            [(9.0, json!({ "p99": 2.5 })), (18.0, Value::Null), (90.0, json!({ "p99": 7 }))];
        let report = json!({ "pairs": 3, "steps": steps.map(|(offered, ms)| step(offered, ms)) });
        let drawn = |x: &str, y: &str| points(&report, x, y);
        let x = "steps.offered_per_s";
        assert_eq!(drawn(x, "steps.delivery_ms.p99"), Ok(vec![(9.0, 2.5), (90.0, 7.0)]));
        assert_eq!(drawn("pairs", x), Ok(vec![(3.0, 9.0), (3.0, 18.0), (3.0, 90.0)]));
        assert_eq!(drawn(x, "steps.nonsense"), Err("steps.nonsense".to_owned()));
        assert_eq!(drawn("nonsense", x), Err("nonsense".to_owned()));
    }

    #[test]
    fn a_figure_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), &idle(1, 1.0)).unwrap();
        let error = plot(vec![path], "nonsense", None).draw().unwrap_err();
        assert!(error.to_string().contains("nonsense"), "{error}");
    }

    #[test]
    fn the_most_telling_figures_are_drawn() {
        let (unit, shown) = telling(&serde_json::from_str(&idle(1, 671.0)).unwrap());
        let names: Vec<_> = shown.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(unit, "bytes_per_connection");
        assert_eq!(names, ["kernel_bytes_per_connection", "user_bytes_per_connection"]);
        let chat = json!({ "messages_per_s": 9.0, "half_load": { "done_ms": { "p50": 1.5 } } });
        assert_eq!(telling(&chat), ("ms".into(), vec![("half_load.done_ms.p50".into(), 1.5)]));
        assert_eq!(telling(&json!({})), (String::new(), Vec::new()));
    }
}
