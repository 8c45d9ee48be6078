//! What the answer of an S3 server, or its absence, means.

use super::client::{chain, explain};
use crate::store::{Failure, Kind};
use crate::time::Stamp;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::Intercept;
use aws_sdk_s3::config::interceptors::{AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextRef};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

/// How much of a server's own words goes into a message.
const WORDS: usize = 300;

/// What the head of an answer said, noted while the SDK reads it.
#[derive(Clone, Debug, Default)]
pub struct Answer(Arc<Mutex<Head>>);

#[derive(Clone, Debug, Default)]
struct Head {
    status: Option<u16>,
    date: Option<Stamp>,
    /// Where the bucket is, as a server says that gets a request for another region's.
    region: Option<String>,
    /// The body ends with the end of this element: an answer that was read whole, not one that breaks off.
    last_element: Option<String>,
}

impl Answer {
    pub fn date(&self) -> Option<Stamp> {
        self.head().date
    }

    pub fn status(&self) -> Option<u16> {
        self.head().status
    }

    /// Whether the body ends with the end of this XML element. The SDK takes a document that breaks off for one that is complete; where
    /// the end of the connection is the end of the body, nothing else tells the two apart.
    pub fn ends_with(&self, element: &str) -> bool {
        self.head().last_element.as_deref() == Some(element)
    }

    fn head(&self) -> Head {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The failure that a request of this answer ended in. `what` is the request, for people.
    pub fn failure<E>(&self, what: &str, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let head = self.head();
        let (code, words) = match error {
            SdkError::ServiceError(service) => (service.err().code(), service.err().message()),
            _ => (None, None),
        };
        let (kind, message) = match (error, head.status) {
            (SdkError::ServiceError(_) | SdkError::ResponseError(_), Some(status)) => {
                let (kind, hint) = meaning(status, code);
                let mut message = format!("{status} {}", code.unwrap_or("without an S3 error code"));
                for words in words.into_iter().chain(hint) {
                    message = format!("{message}: {}", words.chars().take(WORDS).collect::<String>());
                }
                if let (Kind::Refused, Some(region)) = (kind, &head.region) {
                    message = format!("{message} (the bucket is in region {region})");
                }
                (kind, message)
            }
            (SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_), _) => match credentials_error(error) {
                Some(cause) => {
                    let (is_lasting, message) = explain(cause);
                    (if is_lasting { Kind::Denied } else { Kind::Unavailable }, message)
                }
                None if matches!(error, SdkError::ConstructionFailure(_)) => (Kind::Refused, chain(error)),
                None => (Kind::Unavailable, chain(error)),
            },
            _ => (Kind::Unavailable, chain(error)),
        };
        Failure { kind, message: format!("{what}: {message}"), date: head.date }
    }
}

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

/// What an answer with an error means, and perhaps a hint for people.
fn meaning(status: u16, code: Option<&str>) -> (Kind, Option<&'static str>) {
    const SKEWED: &str = "the local clock is far off; it is allowed for from now on";
    const ELSEWHERE: &str = "set `region` to the region of the bucket";
    match (status, code) {
        (404, Some("NoSuchBucket")) => (Kind::NoSuchStore, None),
        (404, Some("NoSuchKey")) => (Kind::NotFound, None),
        // Not the words of an S3 server: something on the way, or an answer that breaks off. It proves nothing. (The SDK itself
        // says `NotFound` where there is no body.)
        (404, _) => (Kind::Unavailable, None),
        (412, _) => (Kind::ConditionFailed, None),
        (409, _) => (Kind::Conflict, None),
        (_, Some("RequestTimeTooSkewed")) => (Kind::Unavailable, Some(SKEWED)),
        // These say "again", though their status says otherwise: the body did not arrive as it was sent.
        (400, Some("RequestTimeout" | "IncompleteBody" | "BadDigest" | "XAmzContentSHA256Mismatch")) => (Kind::Unavailable, None),
        (400, Some("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" | "InvalidAccessKeyId")) => (Kind::Denied, None),
        (400, Some("AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")) => (Kind::Refused, Some(ELSEWHERE)),
        (401 | 403, _) => (Kind::Denied, None),
        (307, _) => (Kind::Unavailable, None),
        (300..=399, _) => (Kind::Refused, Some(ELSEWHERE)),
        (408 | 425 | 429, _) => (Kind::Unavailable, None),
        (400..=499 | 501, _) => (Kind::Refused, None),
        _ => (Kind::Unavailable, None),
    }
}

/// What the code of one object in the answer to a DELETE of many means.
pub fn meaning_for_one(code: &str) -> Kind {
    if code == "AccessDenied" { Kind::Denied } else { Kind::Unavailable }
}

impl Intercept for Answer {
    fn name(&self) -> &'static str {
        "Answer"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let date = response.headers().get("date").and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        let head = Head {
            status: Some(response.status().as_u16()),
            date: date.map(|date| Stamp::from_nanos(date.as_nanos())),
            region: response.headers().get("x-amz-bucket-region").map(str::to_owned),
            last_element: None,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = head;
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // A body that is streamed is not here, and needs not be.
        let last_element = context.response().body().bytes().and_then(last_element).map(str::to_owned);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last_element = last_element;
        Ok(())
    }
}

/// The local name in the end tag that a document ends with.
fn last_element(document: &[u8]) -> Option<&str> {
    let start = document.iter().rposition(|&byte| byte == b'<')?;
    let tag = std::str::from_utf8(&document[start..]).ok()?.trim_end();
    let name = tag.strip_prefix("</")?.strip_suffix('>')?.trim_end();
    Some(name.rsplit(':').next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_ends_with_the_end_of_its_root() {
        for whole in ["<a><b/></a>", "</a>", "</x:a>", "<a></a >\n"] {
            assert_eq!(last_element(whole.as_bytes()), Some("a"), "{whole}");
        }
        for cut in ["", "<a>", "<a><b/>", "<a></a", "</", "<a>text", "<a/>", "\u{fffd}<"] {
            assert_eq!(last_element(cut.as_bytes()), None, "{cut}");
        }
        assert_eq!(last_element(b"<a><b></b>"), Some("b"));
    }

    #[test]
    fn answers_mean_what_the_contract_says() {
        for (status, code, kind) in [
            (404, Some("NoSuchKey"), Kind::NotFound),
            (404, Some("NoSuchBucket"), Kind::NoSuchStore),
            (404, None, Kind::Unavailable),
            (404, Some("NotFound"), Kind::Unavailable),
            (412, Some("PreconditionFailed"), Kind::ConditionFailed),
            (412, None, Kind::ConditionFailed),
            (409, Some("ConditionalRequestConflict"), Kind::Conflict),
            (403, Some("AccessDenied"), Kind::Denied),
            (403, Some("RequestTimeTooSkewed"), Kind::Unavailable),
            (401, None, Kind::Denied),
            (400, Some("ExpiredToken"), Kind::Denied),
            (400, Some("RequestTimeout"), Kind::Unavailable),
            (400, Some("InvalidArgument"), Kind::Refused),
            (301, Some("PermanentRedirect"), Kind::Refused),
            (307, Some("TemporaryRedirect"), Kind::Unavailable),
            (413, None, Kind::Refused),
            (416, Some("InvalidRange"), Kind::Refused),
            (429, None, Kind::Unavailable),
            (500, Some("InternalError"), Kind::Unavailable),
            (501, Some("NotImplemented"), Kind::Refused),
            (503, Some("SlowDown"), Kind::Unavailable),
        ] {
            assert_eq!(meaning(status, code).0, kind, "{status} {code:?}");
        }
    }
}
