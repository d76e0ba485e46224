//! Pictures of reports: SVG, drawn in numbers alone, so the same report gives the same picture.

pub mod report;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::LoadError;

/// Size of a picture of lines, and the width of one of bars.
const WIDTH: u32 = 860;
const HEIGHT: u32 = 500;

/// Height of a bar with its gap, and of what is above and below all bars.
const BAR_HEIGHT: u32 = 30;
const BARS_FRAME: u32 = 90;

/// Bars in one picture: the rest would not be read.
pub const BARS_MAX: usize = 60;

/// Everything is in one typeface that every viewer has.
const TYPEFACE: &str = "sans-serif";

/// Points that belong together, in order of x.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is called in the legend.
    pub name: String,
    /// x and y.
    pub points: Vec<(f64, f64)>,
}

/// What stands at the axes.
#[derive(Debug, Clone, Default)]
pub struct Axes {
    /// Above all.
    pub title: String,
    /// Below.
    pub x: String,
    /// At the left.
    pub y: String,
    /// Powers of ten at equal distances, below.
    pub log_x: bool,
    /// The same at the left.
    pub log_y: bool,
}

/// One axis: from where to where, in the unit in which it is drawn.
struct Scale {
    log: bool,
    from: f64,
    to: f64,
    /// Among the values is 0, which powers of ten never reach: it stands at the start.
    has_zero: bool,
}

impl Scale {
    /// An axis for these values. A linear one starts at 0: a cost that is flat shall look flat.
    fn of(values: impl Iterator<Item = f64> + Clone, log: bool) -> Self {
        let has_zero = log && values.clone().any(|value| value == 0.0);
        let places = values.map(|value| if log { value.log10() } else { value });
        let (least, most) = places
            .filter(|place| place.is_finite())
            .fold((f64::MAX, f64::MIN), |(least, most), place| (least.min(place), most.max(place)));
        if least > most {
            return Self { log, from: 0.0, to: 1.0, has_zero };
        }
        let from = if log { least.floor() } else { least.min(0.0) };
        let to = if log { most.ceil() } else { most * 1.1 };
        let to = if to > from { to } else { from + 1.0 };
        Self { log, from: if has_zero { from - 1.0 } else { from }, to, has_zero }
    }

    /// Where a value is drawn; a value that has no place (0 on powers of ten) at the start.
    fn place(&self, value: f64) -> f64 {
        let place = if self.log { value.log10() } else { value };
        if place.is_finite() { place.max(self.from) } else { self.from }
    }

    /// How many places have a label: each power of ten, or a handful.
    fn labels(&self) -> usize {
        const LABELS: usize = 10;
        (1..LABELS).find(|n| self.log && *n as f64 > self.to - self.from).unwrap_or(LABELS)
    }

    /// What stands at a place.
    fn label(&self, place: f64) -> String {
        if self.has_zero && place <= self.from {
            return short(0.0);
        }
        short(if self.log { 10_f64.powf(place) } else { place })
    }
}

/// Lines through points, one colour a series.
///
/// # Errors
/// [`LoadError::Plot`].
pub fn lines(series: &[Series], axes: &Axes) -> Result<String, LoadError> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
    draw_lines(&area, series, axes).map_err(|error| LoadError::Plot(error.to_string()))?;
    drop(area);
    Ok(svg)
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn draw_lines(area: &DrawingArea<SVGBackend<'_>, Shift>, series: &[Series], axes: &Axes) -> Drawn {
    area.fill(&WHITE)?;
    let points = series.iter().flat_map(|series| &series.points);
    let x = Scale::of(points.clone().map(|(x, _)| *x), axes.log_x);
    let y = Scale::of(points.map(|(_, y)| *y), axes.log_y);
    let mut chart = ChartBuilder::on(area)
        .caption(&axes.title, (TYPEFACE, 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(x.from..x.to, y.from..y.to)?;
    chart
        .configure_mesh()
        .x_desc(&axes.x)
        .y_desc(&axes.y)
        .label_style((TYPEFACE, 13))
        .x_labels(x.labels())
        .y_labels(y.labels())
        .x_label_formatter(&|place| x.label(*place))
        .y_label_formatter(&|place| y.label(*place))
        .light_line_style(WHITE)
        .draw()?;
    for (place, series) in series.iter().enumerate() {
        let colour = Palette99::pick(place).to_rgba();
        let place = |(left, up): &(f64, f64)| (x.place(*left), y.place(*up));
        let line = medians(&series.points);
        chart
            .draw_series(LineSeries::new(line.iter().map(place), colour.stroke_width(2)))?
            .label(&series.name)
            .legend(move |(left, up)| {
                PathElement::new([(left, up), (left + 18, up)], colour.stroke_width(2))
            });
        let dots = series.points.iter().map(place);
        chart.draw_series(dots.map(|at| Circle::new(at, 3, colour.filled())))?;
    }
    if series.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .label_font((TYPEFACE, 13))
            .draw()?;
    }
    area.present()
}

/// Several runs at one x are one point of the line: the one in their middle.
fn medians(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let runs = points.chunk_by(|one, next| one.0 == next.0);
    let middle = runs.filter_map(|run| {
        let mut run = run.to_vec();
        run.sort_by(|one, other| one.1.total_cmp(&other.1));
        run.get(run.len() / 2).copied()
    });
    middle.collect()
}

/// Bars with their names and values, one below the other; the first [`BARS_MAX`] of them.
///
/// # Errors
/// [`LoadError::Plot`].
pub fn bars(title: &str, unit: &str, bars: &[(String, f64)]) -> Result<String, LoadError> {
    let bars = bars.get(..BARS_MAX).unwrap_or(bars);
    let count = u32::try_from(bars.len().max(1)).unwrap_or(1);
    let mut svg = String::new();
    let size = (WIDTH, BARS_FRAME + count * BAR_HEIGHT);
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    draw_bars(&area, title, unit, bars).map_err(|error| LoadError::Plot(error.to_string()))?;
    drop(area);
    Ok(svg)
}

fn draw_bars(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    unit: &str,
    bars: &[(String, f64)],
) -> Drawn {
    area.fill(&WHITE)?;
    let scale = Scale::of(bars.iter().map(|(_, value)| *value), false);
    let mut chart = ChartBuilder::on(area)
        .caption(title, (TYPEFACE, 20))
        .margin(12)
        .x_label_area_size(44)
        .build_cartesian_2d(scale.from..scale.to, 0.0..bars.len().max(1) as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_desc(unit)
        .label_style((TYPEFACE, 13))
        .x_label_formatter(&|place| scale.label(*place))
        .light_line_style(WHITE)
        .draw()?;
    for (place, (name, value)) in bars.iter().enumerate() {
        let top = (bars.len() - place) as f64;
        let corners = [(scale.place(0.0), top - 0.85), (scale.place(*value), top - 0.15)];
        let fill = Palette99::pick(0).mix(0.45).filled();
        let text = format!("{name}: {}", short(*value));
        let start = (scale.from + (scale.to - scale.from) * 0.005, top - 0.35);
        chart.draw_series([Rectangle::new(corners, fill)])?;
        chart.draw_series([Text::new(text, start, (TYPEFACE, 13))])?;
    }
    area.present()
}

/// As few digits as tell it apart.
fn short(value: f64) -> String {
    let text = match value.abs() {
        100.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series { name: name.to_owned(), points: points.to_vec() }
    }

    #[test]
    fn lines_carry_their_names_points_and_axes() {
        let all = [
            series("user", &[(1e3, 1_597.0), (1e4, 671.0)]),
            series("kernel", &[(1e3, 3_448.0), (1e4, 3_864.0)]),
        ];
        let axes = Axes {
            title: "cost".into(),
            x: "connections".into(),
            y: "bytes".into(),
            ..Axes::default()
        };
        let svg = lines(&all, &axes).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(
            (svg.matches("<circle").count(), svg.matches("<polyline").count() >= 4),
            (4, true)
        );
        for word in ["cost", "connections", "bytes", "user", "kernel"] {
            assert!(svg.contains(word), "{word}");
        }
        assert_eq!(svg, lines(&all, &axes).unwrap(), "the same picture again");
    }

    #[test]
    fn powers_of_ten_stand_at_equal_distances() {
        let scale = Scale::of([20.0, 5_000.0].into_iter(), true);
        assert_eq!((scale.from, scale.to), (1.0, 4.0));
        assert_eq!((scale.place(100.0), scale.place(0.0), scale.labels()), (2.0, 1.0, 4));
        assert_eq!([1.0, 2.0].map(|place| scale.label(place)), ["10", "100"]);
    }

    #[test]
    fn nothing_stands_before_the_powers_of_ten() {
        let scale = Scale::of([0.0, 1e6, 1e7].into_iter(), true);
        assert_eq!((scale.from, scale.to, scale.labels()), (5.0, 7.0, 3));
        assert_eq!([0.0, 1e6, 1e7].map(|value| scale.place(value)), [5.0, 6.0, 7.0]);
        assert_eq!([5.0, 6.0].map(|place| scale.label(place)), ["0", "1000000"]);
        let none = Scale::of([1e6].into_iter(), true);
        assert_eq!(none.label(none.from), "1000000", "0 only where there is one");
    }

    #[test]
    fn a_line_goes_through_the_middle_of_repeated_runs() {
        let points = [(1.0, 9.0), (1.0, 2.0), (1.0, 5.0), (4.0, 7.0)];
        assert_eq!(medians(&points), [(1.0, 5.0), (4.0, 7.0)]);
    }

    #[test]
    fn nothing_to_show_is_shown() {
        assert!(lines(&[], &Axes::default()).is_ok());
        assert!(
            lines(&[series("one", &[(5.0, 0.0)])], &Axes { log_y: true, ..Axes::default() })
                .is_ok()
        );
        assert!(bars("", "", &[]).is_ok());
    }

    #[test]
    fn both_sides_of_the_most_bars() {
        let some = |count: usize| -> usize {
            let all: Vec<_> = (0..count).map(|place| (format!("bar{place}"), 1.0)).collect();
            bars("t", "ms", &all).unwrap().matches("bar").count()
        };
        assert_eq!((some(BARS_MAX), some(BARS_MAX + 1)), (BARS_MAX, BARS_MAX));
    }

    #[test]
    fn digits_end_where_they_say_nothing() {
        assert_eq!([0.5, 2.0, 1_234.5, 0.0].map(short), ["0.5", "2", "1234", "0"]);
    }
}
