//! Validation of OpenTelemetry's environment variables.
//!
//! The OpenTelemetry SDK for Rust supports fewer variables than the SDKs for other languages, and
//! ignores unsupported variables. This module reports unsupported and invalid variables. It quotes
//! no values that may be secret.

use std::env::var;

use crate::http_url::parse_http_url;

/// Reads the variables, or returns an error that names the invalid one. Returns warnings about
/// unsupported settings if traces are sent to a collector; `None` if they are not sent.
pub(super) fn otlp_settings() -> Result<Option<Vec<String>>, String> {
    check(&|name| var(name).ok().filter(|value| !value.trim().is_empty()))
}

type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

fn check(variables: Variables<'_>) -> Result<Option<Vec<String>>, String> {
    let is = |name: &str, value: &str| {
        variables(name).is_some_and(|set| set.eq_ignore_ascii_case(value))
    };
    let endpoint = of_traces(variables, "ENDPOINT");
    let Some((name, endpoint)) = endpoint.filter(|_| !is("OTEL_SDK_DISABLED", "true")) else {
        return Ok(None);
    };
    if is("OTEL_TRACES_EXPORTER", "none") {
        return Ok(None);
    }
    if variables("OTEL_TRACES_EXPORTER").is_some() && !is("OTEL_TRACES_EXPORTER", "otlp") {
        return Err("OTEL_TRACES_EXPORTER: only otlp and none are supported".to_owned());
    }
    parse_http_url(&endpoint).map_err(|why| format!("{name}: {why}"))?;
    if let Some((name, protocol)) = of_traces(variables, "PROTOCOL")
        && !protocol.eq_ignore_ascii_case("http/protobuf")
    {
        return Err(format!(
            "{name}: only http/protobuf is supported, which collectors receive at port 4318; not grpc, not http/json"
        ));
    }
    Ok(Some(unsupported(variables)))
}

/// Returns an exporter variable: the one for traces, or else the one for all signals.
fn of_traces(variables: Variables<'_>, what: &str) -> Option<(String, String)> {
    ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"]
        .into_iter()
        .find_map(|prefix| {
            let name = format!("{prefix}{what}");
            let value = variables(&name)?;
            Some((name, value))
        })
}

fn unsupported(variables: Variables<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for what in ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"] {
        if let Some((name, _)) = of_traces(variables, what) {
            found.push(format!(
                "{name} is not supported; SSL_CERT_FILE names the certificates that are trusted"
            ));
        }
    }
    if let Some((name, value)) = of_traces(variables, "COMPRESSION")
        && !value.eq_ignore_ascii_case("none")
    {
        found.push(format!(
            "{name} is not supported: traces are not compressed"
        ));
    }
    let propagators = variables("OTEL_PROPAGATORS").unwrap_or_default();
    let is_supported = |name: &str| matches!(name.trim(), "" | "tracecontext");
    if !propagators.split(',').all(is_supported) {
        found.push("OTEL_PROPAGATORS: only tracecontext is supported".to_owned());
    }
    for (name, instead) in [
        (
            "OTEL_METRICS_EXPORTER",
            "metrics are served at --metrics-listen",
        ),
        ("OTEL_LOGS_EXPORTER", "the log is written to standard error"),
    ] {
        if variables(name).is_some_and(|value| value != "none") {
            found.push(format!("{name} is not supported: {instead}"));
        }
    }
    found.extend(sampler(variables));
    found
}

fn sampler(variables: Variables<'_>) -> Option<String> {
    let sampler = variables("OTEL_TRACES_SAMPLER")?;
    let ratio = variables("OTEL_TRACES_SAMPLER_ARG").and_then(|ratio| ratio.parse::<f64>().ok());
    match &*sampler {
        "always_on" | "always_off" | "parentbased_always_on" | "parentbased_always_off" => None,
        "traceidratio" | "parentbased_traceidratio" => {
            let is_ratio = ratio.is_some_and(|ratio| (0.0..=1.0).contains(&ratio));
            (!is_ratio).then(|| {
                "OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1: all traces are sampled"
                    .to_owned()
            })
        }
        _ => Some(
            "OTEL_TRACES_SAMPLER is not supported: only always_on, always_off, traceidratio and \
             these with parentbased_; parentbased_always_on counts"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");

    fn checked(set: &[(&str, &str)]) -> Result<Option<Vec<String>>, String> {
        let find = |name: &str| set.iter().find(|(set, _)| *set == name);
        check(&|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn setting_that_cannot_work_is_rejected_by_name_and_without_its_value() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://u:secret@collector:4318",
            ),
        ] {
            let refused = checked(&[ENDPOINT, (name, value)]).expect_err(value);
            assert!(refused.starts_with(name), "{refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn setting_without_an_effect_is_named() {
        assert_eq!(checked(&[]), Ok(None));
        let none = ("OTEL_TRACES_EXPORTER", "none");
        assert_eq!(checked(&[ENDPOINT, none]), Ok(None));
        assert_eq!(checked(&[ENDPOINT]), Ok(Some(Vec::new())));
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_PROPAGATORS", "b3"),
            ("OTEL_METRICS_EXPORTER", "otlp"),
            ("OTEL_TRACES_SAMPLER", "xray"),
        ] {
            let Ok(Some(found)) = checked(&[ENDPOINT, (name, value)]) else {
                panic!("{name} is no reason to send nothing");
            };
            assert!(found.len() == 1 && found[0].starts_with(name), "{found:?}");
        }
    }
}
