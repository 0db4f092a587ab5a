//! The two ways to authenticate, and what is neither.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;

const ID: &str = "0123456789abcdef";
const SECRET: &str = "s3cret-_S3CRET";

fn basic_header(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

fn parse(header: Option<&str>, body: &str) -> Result<(String, String, Option<String>), TokenRefused> {
    let request = TokenRequest::parse(header, body.as_bytes())?;
    let Credentials::Secret { client_id, secret } = request.credentials else { panic!("a secret was due") };
    Ok((client_id, secret.expose().to_owned(), request.scope))
}

fn expected(scope: Option<&str>) -> Result<(String, String, Option<String>), TokenRefused> {
    Ok((ID.to_owned(), SECRET.to_owned(), scope.map(str::to_owned)))
}

// RFC 6749 section 2.3.1
#[test]
fn basic_is_read_plain_form_encoded_and_without_padding() {
    let plain = basic_header(ID, SECRET);
    let encoded = basic_header("%30123456789abcdef", "s3cret%2D%5fS3CRET");
    let unpadded = plain.trim_end_matches('=').to_owned();
    for header in [&plain, &encoded, &unpadded, &plain.replacen("Basic", "bASIC", 1)] {
        assert_eq!(parse(Some(header), "grant_type=client_credentials"), expected(None), "{header}");
    }
}

#[test]
fn post_is_read() {
    let body = format!("grant_type=client_credentials&client_id={ID}&client_secret={SECRET}&scope=sub%3Aa%2F%23+pub:b");
    assert_eq!(parse(None, &body), expected(Some("sub:a/# pub:b")));
}

// RFC 6749 section 2.3: "The client MUST NOT use more than one authentication method in each request."
#[test]
fn both_ways_at_once_are_invalid_whatever_they_say() {
    let header = basic_header(ID, SECRET);
    let body = format!("grant_type=client_credentials&client_id={ID}&client_secret={SECRET}");
    assert_eq!(parse(Some(&header), &body), Err(TokenRefused::InvalidRequest));
    let body = format!("grant_type=client_credentials&client_secret={SECRET}");
    assert_eq!(parse(Some(&header), &body), Err(TokenRefused::InvalidRequest));
}

// RFC 6749 section 3.2.1
#[test]
fn a_client_id_beside_basic_has_to_be_the_same() {
    let header = basic_header(ID, SECRET);
    assert_eq!(parse(Some(&header), &format!("grant_type=client_credentials&client_id={ID}")), expected(None));
    assert_eq!(
        parse(Some(&header), "grant_type=client_credentials&client_id=other"),
        Err(TokenRefused::InvalidRequest)
    );
}

#[test]
fn credentials_that_are_missing_or_cannot_be_ours_are_no_authentication() {
    let grant = "grant_type=client_credentials";
    for header in ["Bearer abc", "Basic", "Basic !!!", "Basic YWJj", &basic_header("a:b", "c"), &basic_header("", "c")]
    {
        assert_eq!(parse(Some(header), grant), Err(TokenRefused::InvalidClient), "{header}");
    }
    for body in
        ["", "&client_id=a", "&client_secret=b", "&client_id=a%00&client_secret=b", "&client_id=a&client_secret=%FF"]
    {
        assert_eq!(parse(None, &format!("{grant}{body}")), Err(TokenRefused::InvalidClient), "{body}");
    }
}

// RFC 6749 sections 3.2 and 5.2
#[test]
fn a_repeated_parameter_is_invalid_and_an_unknown_one_is_ignored() {
    let body = format!("grant_type=client_credentials&client_id={ID}&client_secret={SECRET}");
    for again in ["&grant_type=client_credentials", "&client_id=x", "&scope=a&scope=a", "&x=1&x=1", "&client%5Fid=x"] {
        assert_eq!(parse(None, &format!("{body}{again}")), Err(TokenRefused::InvalidRequest), "{again}");
    }
    assert_eq!(parse(None, &format!("{body}&x=1&y=2")), expected(None));
}

// RFC 6749 section 3.2: "Parameters sent without a value MUST be treated as if they were omitted from the request."
#[test]
fn an_empty_parameter_did_not_come() {
    let body = format!("grant_type=client_credentials&client_id={ID}&client_secret={SECRET}&scope=");
    assert_eq!(parse(None, &body), expected(None));
    let header = basic_header(ID, SECRET);
    assert_eq!(parse(Some(&header), "grant_type=client_credentials&client_id=&client_secret="), expected(None));
}

#[test]
fn only_client_credentials_are_granted() {
    for body in ["grant_type=password", "grant_type=authorization_code", "grant_type=Client_credentials"] {
        assert_eq!(parse(None, body), Err(TokenRefused::UnsupportedGrantType), "{body}");
    }
    for body in ["", "grant_type=", "grant-type=client_credentials", "{}"] {
        assert_eq!(parse(None, body), Err(TokenRefused::InvalidRequest), "{body}");
    }
}

#[test]
fn a_request_does_not_print_its_secret() {
    let request = TokenRequest::parse(Some(&basic_header(ID, SECRET)), b"grant_type=client_credentials").unwrap();
    assert!(!format!("{request:?}").contains(SECRET));
}

fn assertion(subject: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"ES256"}"#), part(&format!(r#"{{"sub":"{subject}"}}"#)), part("signature"))
}

const JWT_BEARER: &str = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

// RFC 7523 section 2.2
#[test]
fn a_client_that_signs_for_itself_is_known_by_its_subject() {
    let grant = format!("grant_type=client_credentials&{JWT_BEARER}");
    for also in ["", "&client_id=c1"] {
        let body = format!("{grant}&client_assertion={}{also}", assertion("c1"));
        let request = TokenRequest::parse(None, body.as_bytes()).unwrap();
        assert_eq!(request.credentials().client_id(), "c1");
        assert!(!format!("{request:?}").contains(&assertion("c1")));
    }
    let other = |body: String| TokenRequest::parse(None, body.as_bytes()).map(|_| ());
    let invalid = Err(TokenRefused::InvalidRequest);
    assert_eq!(other(format!("{grant}&client_assertion={}&client_id=c2", assertion("c1"))), invalid);
    assert_eq!(other(format!("{grant}&client_assertion={}&client_secret=a", assertion("c1"))), invalid);
    assert_eq!(other(format!("grant_type=client_credentials&client_assertion={}", assertion("c1"))), invalid);
    for unfit in ["a.b.c", "", &assertion("a b"), &assertion(""), &"a".repeat(5000)] {
        let answer = other(format!("{grant}&client_assertion={unfit}"));
        assert_eq!(answer, Err(TokenRefused::InvalidClient), "{unfit}");
    }
    let basic = TokenRequest::parse(
        Some(&basic_header(ID, SECRET)),
        format!("{grant}&client_assertion={}", assertion("c1")).as_bytes(),
    );
    assert_eq!(basic.map(|_| ()), invalid);
}
