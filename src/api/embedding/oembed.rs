//! oEmbed (<https://oembed.com>, 1.0): what a site needs to know to show a video in a frame.

use super::super::State;
use super::super::auth::SignedIn;
use super::super::query::Query;
use crate::domain::Error;
use crate::domain::video::Video;
use crate::problem::Problem;
use axum::extract::State as Api;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The frame's width unless the consumer wants another.
const WIDTH: u32 = 640;
/// For what has no picture, and for a video whose shape is not known.
const SHAPE: (u32, u32) = (16, 9);
/// For how long consumers may keep an answer.
const CACHE_AGE_S: u32 = 300;

// Consumers may send members that this version of the specification does not know.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct Asked {
    /// A watch page, or a frame's page.
    url: String,
    /// Only `json`.
    #[param(required = false)]
    format: Option<String>,
    /// The widest frame, in pixels.
    #[param(required = false)]
    maxwidth: Option<u32>,
    /// The highest frame, in pixels.
    #[param(required = false)]
    maxheight: Option<u32>,
}

/// The answer for a video (§2.3.4.2). No thumbnail: pictures of a video are for those who may see it.
#[derive(Serialize, ToSchema)]
#[schema(as = OEmbed)]
pub(in super::super) struct Answer {
    r#type: &'static str,
    version: &'static str,
    title: String,
    provider_name: &'static str,
    provider_url: String,
    cache_age: u32,
    html: String,
    width: u32,
    height: u32,
}

/// Ask how to embed a video.
///
/// oEmbed 1.0: answers anybody about videos whose owners let them be known, and those with an access token about embeddable videos that they
/// may see.
#[utoipa::path(get, path = "/oembed", operation_id = "read_oembed", tag = "embedding", security((), ("token" = [])), params(Asked),
    responses((status = OK, description = "The frame.", body = Answer)),
    extensions(("x-problems" = json!(["token-missing", "token-malformed", "token-signature", "token-expired", "not-found",
        "format-not-implemented"]))))]
pub(in super::super) async fn oembed(
    Api(api): Api<State>,
    signed_in: Result<SignedIn, Problem>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    if asked.format.as_deref().is_some_and(|format| format != "json") {
        let detail = "this server answers oEmbed requests in JSON only: ask for format=json";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "format-not-implemented", detail));
    }
    let caller = match signed_in {
        Ok(SignedIn { caller, .. }) => Some(caller),
        Err(problem) if problem.code() == "token-missing" => None,
        Err(problem) => return Err(problem),
    };
    let nothing = || Error::not_found("nothing can be embedded from this address");
    let id = api.site.video_of(&asked.url).ok_or_else(nothing)?;
    let video = api.library.oembed(caller.as_ref().map(|caller| &caller.actor), &id).await?;
    let (width, height) = size(&video, asked.maxwidth, asked.maxheight);
    let answer = Answer {
        r#type: "video",
        version: "1.0",
        html: frame(&api.site.embed_url(&id), &video.title, width, height),
        title: video.title,
        provider_name: "Theatrum",
        provider_url: api.site.origin().to_owned(),
        cache_age: CACHE_AGE_S,
        width,
        height,
    };
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response())
}

/// The frame's size: the video's shape, as large as the consumer lets it be.
fn size(video: &Video, max_width: Option<u32>, max_height: Option<u32>) -> (u32, u32) {
    let side = |side: Option<i64>| side.and_then(|side| u32::try_from(side).ok()).filter(|&side| side > 0);
    let (wide, high) = side(video.width).zip(side(video.height)).unwrap_or(SHAPE);
    let scaled = |length: u32, by: u32, of: u32| {
        let exact = (u64::from(length) * u64::from(by) + u64::from(of) / 2) / u64::from(of);
        u32::try_from(exact).unwrap_or(u32::MAX).max(1)
    };
    let width = WIDTH.min(max_width.unwrap_or(WIDTH)).max(1);
    let height = scaled(width, high, wide);
    match max_height.map(|most| most.max(1)).filter(|&most| most < height) {
        Some(most) => (scaled(most, wide, high).min(width), most),
        None => (width, height),
    }
}

/// The HTML of a frame. It sends no referrer, and may fill the screen.
pub(super) fn frame(url: &str, title: &str, width: u32, height: u32) -> String {
    let title = if title.is_empty() { String::new() } else { format!(" title=\"{}\"", escaped(title)) };
    let may = "allow=\"fullscreen; picture-in-picture\" allowfullscreen referrerpolicy=\"no-referrer\"";
    format!("<iframe src=\"{}\"{title} width=\"{width}\" height=\"{height}\" {may} style=\"border:0\"></iframe>", escaped(url))
}

/// Text for an attribute in double quotes (WHATWG HTML §13.1.2.3).
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut html, c| {
        match c {
            '&' => html.push_str("&amp;"),
            '"' => html.push_str("&quot;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            c => html.push(c),
        }
        html
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_cannot_leave_its_attribute() {
        let html = frame("https://v.example/embed/1?a=b&c", "\"><script>alert(1)</script>", 640, 360);
        assert!(html.contains("title=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\""), "{html}");
        assert!(html.contains("src=\"https://v.example/embed/1?a=b&amp;c\""), "{html}");
    }

    #[test]
    fn a_frame_keeps_its_shape_within_the_limits() {
        let mut video = crate::policy::tests_support::video("ada", crate::domain::video::State::Ready);
        assert_eq!(size(&video, None, None), (640, 360), "of unknown shape");
        (video.width, video.height) = (Some(1080), Some(1920));
        assert_eq!(size(&video, None, None), (640, 1138));
        assert_eq!(size(&video, Some(320), Some(480)), (270, 480));
        (video.width, video.height) = (Some(1920), Some(1080));
        assert_eq!(size(&video, Some(320), None), (320, 180));
        assert_eq!(size(&video, Some(4000), Some(4000)), (640, 360));
        assert_eq!(size(&video, Some(0), Some(0)), (1, 1));
    }
}
