//! What requests may say of a model's request defaults.

use headgate_kit::Failure;
use headgate_proto::inference::v1::RequestDefaults;

use super::require;

const MAX_STOPS: usize = 4;
const MAX_STOP: usize = 256;

/// Request defaults fit to be kept, where they say anything; each in the range that a request of its own may give.
/// `max_output_tokens` is the model's, and unset for one that is not for chat: that has none.
pub(crate) fn request_defaults(
    field: &str,
    given: Option<RequestDefaults>,
    max_output_tokens: Option<u32>,
) -> Result<Option<RequestDefaults>, Failure> {
    let Some(given) = given.filter(|given| *given != RequestDefaults::default()) else { return Ok(None) };
    let Some(most) = max_output_tokens else {
        return Err(Failure::invalid(
            field,
            format!("{field} must be unset for a model that is not for chat"),
        ));
    };
    let at = |name: &str| format!("{field}.{name}");
    require(
        given.max_output_tokens.is_none_or(|limit| (1..=most).contains(&limit)),
        &at("max_output_tokens"),
        || "must be between 1 and the model's max_output_tokens".into(),
    )?;
    within(&at("temperature"), given.temperature, 0.0, 2.0)?;
    within(&at("top_p"), given.top_p, 0.0, 1.0)?;
    within(&at("frequency_penalty"), given.frequency_penalty, -2.0, 2.0)?;
    within(&at("presence_penalty"), given.presence_penalty, -2.0, 2.0)?;
    require(given.stop.len() <= MAX_STOPS, &at("stop"), || format!("must be at most {MAX_STOPS} texts"))?;
    for (i, text) in given.stop.iter().enumerate() {
        let good = (1..=MAX_STOP).contains(&text.chars().count());
        require(good, &at(&format!("stop[{i}]")), || format!("must be 1 to {MAX_STOP} characters"))?;
    }
    Ok(Some(given))
}

/// Refuses what is unordered, as NaN is, too.
fn within(field: &str, value: Option<f64>, least: f64, most: f64) -> Result<(), Failure> {
    let good = value.is_none_or(|value| (least..=most).contains(&value));
    require(good, field, || format!("must be between {least} and {most}"))
}
