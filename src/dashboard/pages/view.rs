//! How a tile is wanted, as its address says it.

use super::super::fault::Fault;
use super::super::looks::{ChannelView, Place};

/// Channels of one tile.
const CHANNELS: usize = 16;

/// Gammas that show something.
const GAMMAS: std::ops::RangeInclusive<f32> = 0.05..=20.0;

/// Frame, level, and `x_y.png`.
pub(super) fn place([frame, level, tile]: [&str; 3]) -> Result<Place, Fault> {
    let parts = tile.strip_suffix(".png").and_then(|it| it.split_once('_'));
    let (x, y) = parts.ok_or_else(|| misuse("a tile is called by its column and row: 0_0.png"))?;
    Ok(Place {
        frame: whole("the frame", frame)?,
        level: whole("the level", level)?,
        x: whole("the column of a tile", x)?,
        y: whole("the row of a tile", y)?,
    })
}

/// A number of digits alone.
pub(super) fn whole(what: &str, text: &str) -> Result<usize, Fault> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| misuse(&format!("{what} is a whole number from 0, not `{text}`")))
}

/// Channels, what of them is black and white, their colors, and the gamma of all: `0:10:200:ffffff,1:…`.
pub(super) fn channel_views(
    channels: &str,
    gamma: Option<&str>,
) -> Result<Vec<(usize, ChannelView)>, Fault> {
    let gamma = match gamma {
        Some(text) => text.parse().ok().filter(|gamma| GAMMAS.contains(gamma)),
        None => Some(1.0),
    };
    let gamma = gamma.ok_or_else(|| misuse("g is a gamma from 0.05 to 20"))?;
    let views: Option<Vec<_>> = channels
        .split(',')
        .take(CHANNELS + 1)
        .map(|text| view(text, gamma))
        .collect();
    match views {
        Some(views) if views.len() <= CHANNELS => Ok(views),
        Some(_) => Err(misuse(&format!("c has more than {CHANNELS} channels"))),
        None => Err(misuse(
            "c has the channels with the values that are black and bright and the color, as 0:10:200:ffffff,1:0:99:00ff00",
        )),
    }
}

fn view(text: &str, gamma: f32) -> Option<(usize, ChannelView)> {
    let mut parts = text.split(':');
    let channel = parts.next()?.parse().ok()?;
    let mut number = || parts.next()?.parse().ok().filter(|it: &f32| it.is_finite());
    let (low, high) = (number()?, number()?);
    let color = color(parts.next()?)?;
    let view = ChannelView {
        low,
        high,
        color,
        gamma,
    };
    parts.next().is_none().then_some((channel, view))
}

/// Red, green and blue as six digits.
fn color(text: &str) -> Option<[u8; 3]> {
    let is_hex = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    let [_, red, green, blue] = number.to_be_bytes();
    Some([red, green, blue])
}

fn misuse(text: &str) -> Fault {
    Fault::Misuse(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_read_whole_or_refused() {
        let views = channel_views("0:1.5:200:ff8000,3:-1e3:0:00ff00", Some("2")).expect("two");
        let first = ChannelView {
            low: 1.5,
            high: 200.0,
            color: [255, 128, 0],
            gamma: 2.0,
        };
        assert_eq!((views.len(), views[0], views[1].0), (2, (0, first), 3));
        let many = ["0:0:1:ffffff"; CHANNELS + 1].join(",");
        for wrong in [
            "",
            "0",
            "0:1:2",
            "0:1:2:fff",
            "0:1:2:fffff\u{e9}",
            "0:1:2:ffffff:9",
            "-1:1:2:ffffff",
            "0:nan:2:ffffff",
            "0:1:inf:ffffff",
            "0:1:2:+fffff",
            "0:1:2:ffffff,",
            &many,
        ] {
            let refused = channel_views(wrong, None);
            assert!(matches!(refused, Err(Fault::Misuse(_))), "{wrong}");
        }
        for wrong in ["", "x", "0", "-1", "nan", "inf", "1e9"] {
            assert!(
                channel_views("0:1:2:ffffff", Some(wrong)).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn places_are_numbers() {
        let found = place(["1", "2", "3_4.png"]).expect("a place");
        let expected = Place {
            frame: 1,
            level: 2,
            x: 3,
            y: 4,
        };
        assert_eq!(found, expected);
        for wrong in [
            ["-1", "0", "0_0.png"],
            ["0", "+1", "0_0.png"],
            ["0", "0", "0_0"],
            ["0", "0", "00.png"],
            ["0", "0", "0_x.png"],
            ["0", "99999999999999999999999", "0_0.png"],
            ["", "0", "0_0.png"],
        ] {
            assert!(place(wrong).is_err(), "{wrong:?}");
        }
    }
}
