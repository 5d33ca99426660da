//! Tests of the engine with a schema whose fields become ready in any order, and
//! whose fields can fail.

use allocation_counter::measure;
use async_graphql::futures_util::stream::{self, Stream};
use async_graphql::{Context, EmptySubscription, Interface, Object, Subscription};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tokio::task::yield_now;

use super::*;

/// The executed fields, in order.
type Log = Arc<std::sync::Mutex<Vec<&'static str>>>;

struct Query;

#[Object]
impl Query {
    async fn a(&self) -> InOrder<A> {
        InOrder(A(1))
    }

    async fn maybe(&self) -> Option<InOrder<A>> {
        Some(InOrder(A(2)))
    }

    async fn list(&self, first: Option<usize>) -> List<InOrder<A>> {
        List(
            (0..first.unwrap_or(3))
                .map(|number| InOrder(A(number)))
                .collect(),
        )
    }

    async fn maybes(&self) -> List<Option<InOrder<A>>> {
        List(vec![Some(InOrder(A(0))), None, Some(InOrder(A(2)))])
    }

    async fn snapshot(&self, ctx: &Context<'_>) -> &str {
        for _ in 0..3 {
            yield_now().await;
        }
        log(ctx, "snapshot");
        "taken"
    }

    async fn after_snapshot(&self, ctx: &Context<'_>) -> &str {
        log(ctx, "after");
        "read"
    }

    async fn node(&self, b: Option<bool>) -> Option<InOrder<Node>> {
        Some(InOrder(match b {
            Some(true) => Node::B(B { id: 3, size: 7 }),
            _ => Node::A(A(1)),
        }))
    }
}

struct A(usize);

#[Object]
impl A {
    async fn id(&self) -> usize {
        self.0
    }

    /// Is ready at the first poll.
    async fn fast(&self) -> &str {
        "fast"
    }

    /// Becomes ready later the larger the number is.
    async fn slow(&self) -> String {
        for _ in 0..self.0 {
            yield_now().await;
        }
        format!("slow {}", self.0)
    }

    /// Fails unless the number is even.
    async fn even(&self) -> Result<&str, &'static str> {
        yield_now().await;
        if self.0.is_multiple_of(2) {
            Ok("even")
        } else {
            Err("odd")
        }
    }

    #[expect(
        clippy::unused_async,
        reason = "async-graphql requires asynchronous resolvers"
    )]
    async fn maybe_even(&self) -> Result<Option<&str>, &'static str> {
        if self.0.is_multiple_of(2) {
            Ok(Some("even"))
        } else {
            Err("odd")
        }
    }

    async fn other(&self) -> Option<InOrder<A>> {
        Some(InOrder(A(self.0 + 1)))
    }

    async fn same(&self) -> InOrder<A> {
        yield_now().await;
        InOrder(A(self.0))
    }
}

struct B {
    id: usize,
    size: usize,
}

#[Object]
impl B {
    async fn id(&self) -> usize {
        self.id
    }

    async fn size(&self) -> usize {
        self.size
    }
}

#[derive(Interface)]
#[graphql(field(name = "id", ty = "usize"))]
enum Node {
    A(A),
    B(B),
}

composite_type!(Node: A, B);

struct Mutation;

#[Object]
impl Mutation {
    async fn first(&self, ctx: &Context<'_>) -> String {
        yield_now().await;
        log(ctx, "first");
        "done".to_owned()
    }

    async fn second(&self, ctx: &Context<'_>) -> String {
        log(ctx, "second");
        "done".to_owned()
    }

    #[expect(
        clippy::unused_async,
        reason = "async-graphql requires asynchronous resolvers"
    )]
    async fn fails(&self) -> Result<String, &'static str> {
        Err("failed")
    }
}

fn log(ctx: &Context<'_>, name: &'static str) {
    let log = ctx.data_unchecked::<Log>();
    log.lock().expect("no panic").push(name);
}

struct Events;

#[Subscription]
impl Events {
    async fn counted(&self, to: usize) -> impl Stream<Item = InOrder<A>> + use<> {
        stream::iter((1..=to).map(|number| InOrder(A(number))))
    }
}

type TestEngine = Engine<Query, Mutation, Events>;

fn engine() -> TestEngine {
    let (default, max) = (3, 100);
    let page = DeclaredCost::Page { default, max };
    let settings = EngineSettings {
        costs: vec![FieldCost::new("Query", "list", page)],
        resolved_first: Some("snapshot"),
        ..EngineSettings::default()
    };
    let engine = Engine::build(Query, Mutation, Events, settings).finish();
    engine.expect("a valid schema")
}

fn request(query: &str, variables: Json) -> GraphqlRequest {
    let Json::Object(variables) = variables else {
        panic!("variables are an object");
    };
    GraphqlRequest {
        query: query.to_owned(),
        operation_name: None,
        variables,
    }
}

fn parsed(engine: &TestEngine, query: &str) -> Operation {
    let parsed = engine.parse(request(query, json!({})));
    parsed.expect("an operation")
}

fn prepared(engine: &TestEngine, query: &str, variables: Json) -> Result<Prepared, Rejected> {
    let operation = engine.parse(request(query, variables))?;
    engine.prepare(&operation, true)
}

/// The response as text, because its order matters, and the executed fields.
async fn executed(
    engine: &TestEngine,
    query: &str,
    variables: Json,
) -> (String, Vec<&'static str>) {
    let prepared = prepared(engine, query, variables).expect("a valid operation");
    let log = Log::default();
    let response = engine.execute_prepared(prepared, Arc::clone(&log)).await;
    let data = json::parse_objects(response.data);
    let mut text = serde_json::to_string(&data).expect("JSON");
    for error in response.errors {
        let path = serde_json::to_string(&error.path).expect("a path");
        text.extend([" ", &error.message, &path]);
    }
    let log = log.lock().expect("no panic").clone();
    (text, log)
}

async fn response(engine: &TestEngine, query: &str) -> String {
    executed(engine, query, json!({})).await.0
}

#[tokio::test]
async fn field_that_is_resolved_first_precedes_the_others_in_time_and_not_in_the_response() {
    let query = "{ a: afterSnapshot snapshot b: afterSnapshot again: snapshot __typename }";
    let (response, log) = executed(&engine(), query, json!({})).await;
    assert_eq!(
        response,
        r#"{"a":"read","snapshot":"taken","b":"read","again":"taken","__typename":"Query"}"#
    );
    assert_eq!(log, ["snapshot", "snapshot", "after", "after"]);
}

#[tokio::test]
async fn fields_are_in_the_order_of_the_document() {
    let engine = engine();
    for (query, expected) in [
        (
            "{ list { slow id fast } a { fast slow __typename } }",
            r#"{"list":[{"slow":"slow 0","id":0,"fast":"fast"},{"slow":"slow 1","id":1,"fast":"fast"},{"slow":"slow 2","id":2,"fast":"fast"}],"a":{"fast":"fast","slow":"slow 1","__typename":"A"}}"#,
        ),
        // Each field occurs once, at its first position.
        (
            "{ a { x: id fast } ...f a { slow x: id } } fragment f on Query { a { slow id } }",
            r#"{"a":{"x":1,"fast":"fast","slow":"slow 1","id":1}}"#,
        ),
        (
            "{ node { ... on B { size } ... on A { slow } id ... on Node { id } } }",
            r#"{"node":{"slow":"slow 1","id":1}}"#,
        ),
        (
            "{ node(b: true) { ... on A { slow } ... on B { size } __typename ... { id } } }",
            r#"{"node":{"size":7,"__typename":"B","id":3}}"#,
        ),
        // An object without selected fields is empty.
        (
            "{ a @skip(if: true) { id } maybe { id @include(if: false) } node { ... on B { id } } }",
            r#"{"maybe":{},"node":{}}"#,
        ),
        ("{ a @skip(if: true) { id } }", "{}"),
        // Introspection fields keep their positions, under any key.
        (
            "{ a { id } root: __type(name: \"B\") { name } maybe { id } __typename }",
            r#"{"a":{"id":1},"root":{"name":"B"},"maybe":{"id":2},"__typename":"Query"}"#,
        ),
        (
            "{ x: __type(name: \"Nothing\") { name } __schema { queryType { name } } }",
            r#"{"x":null,"__schema":{"queryType":{"name":"Query"}}}"#,
        ),
        (
            "{ __type(name: \"B\") { ofType { kind } fields @skip(if: false) { name @skip(if: true) } kind } \
             __schema { queryType { name @skip(if: true) } } }",
            r#"{"__type":{"ofType":null,"fields":[{},{}],"kind":"OBJECT"},"__schema":{"queryType":{}}}"#,
        ),
    ] {
        let found = response(&engine, query).await;
        assert_eq!(found, expected, "{query}");
        let again = response(&engine, query).await;
        assert_eq!(again, expected, "from the cache: {query}");
    }
}

#[tokio::test]
async fn null_propagates_to_the_nearest_nullable_field() {
    let engine = engine();
    for (query, expected) in [
        (
            "{ a { maybeEven id } }",
            r#"{"a":{"maybeEven":null,"id":1}} odd["a","maybeEven"]"#,
        ),
        ("{ a { id even } }", r#"null odd["a","even"]"#),
        (
            "{ maybe { id other { even } fast } }",
            r#"{"maybe":{"id":2,"other":null,"fast":"fast"}} odd["maybe","other","even"]"#,
        ),
        (
            "{ maybes { other { even } } }",
            r#"{"maybes":[{"other":null},null,{"other":null}]} odd["maybes",0,"other","even"] odd["maybes",2,"other","even"]"#,
        ),
        (
            "{ maybes { same { same { id } } } list { even slow } }",
            r#"null odd["list",1,"even"]"#,
        ),
    ] {
        let found = response(&engine, query).await;
        assert_eq!(found, expected, "{query}");
    }
    let many = response(&engine, "{ list(first: 40) { slow even } }").await;
    assert!(
        many.starts_with("null odd") && many.matches("odd").count() == 20,
        "{many}"
    );
    let long = response(&engine, "{ list(first: 40) { slow id } }").await;
    let long: Json = serde_json::from_str(&long).expect("JSON");
    let ids = (0..40).map(|id| json!({ "slow": format!("slow {id}"), "id": id }));
    assert_eq!(long["list"], ids.collect::<Json>());
}

#[tokio::test]
async fn variables_apply_to_their_own_request() {
    let engine = engine();
    let query = "query($first: Int, $all: Boolean! = true) { list(first: $first) { id @include(if: $all) fast } }";
    for (variables, expected) in [
        (
            json!({ "first": 1 }),
            r#"{"list":[{"id":0,"fast":"fast"}]}"#,
        ),
        (
            json!({ "first": 1, "all": false }),
            r#"{"list":[{"fast":"fast"}]}"#,
        ),
        (json!({ "first": 0, "other": 1 }), r#"{"list":[]}"#),
    ] {
        assert_eq!(executed(&engine, query, variables).await.0, expected);
    }
    let rejected = prepared(&engine, query, json!({ "first": "x" })).map(drop);
    let rejected = rejected.expect_err("not an Int");
    assert!(rejected.errors[0].message.contains("first"), "{rejected:?}");
    let large = prepared(&engine, query, json!({ "first": 100 })).expect("within the limits");
    let small = prepared(&engine, query, json!({ "first": 1 })).expect("within the limits");
    assert!(large.response_bytes > 50 * small.response_bytes);
}

#[tokio::test]
async fn mutation_fields_are_executed_one_after_the_other_until_one_makes_the_data_null() {
    for (query, expected, executed_fields) in [
        (
            "mutation { first second again: first first second }",
            r#"{"first":"done","second":"done","again":"done"}"#,
            &["first", "second", "first"][..],
        ),
        (
            "mutation { first fails second }",
            r#"null failed["fails"]"#,
            &["first"],
        ),
    ] {
        let (response, log) = executed(&engine(), query, json!({})).await;
        assert_eq!((&*response, &*log), (expected, executed_fields), "{query}");
    }
}

#[tokio::test]
async fn events_are_in_the_order_of_the_document() {
    let engine = engine();
    let query = "subscription { x: counted(to: 2) { slow even id } }";
    let prepared = prepared(&engine, query, json!({})).expect("valid");

    let events = engine.execute_prepared_stream(&prepared, Log::default());
    let events = events.map(|event| String::from_utf8(response_json(&event)).expect("UTF-8"));
    let events: Vec<String> = events.collect().await;

    assert_eq!(events.len(), 2);
    assert!(
        events[0].contains(r#""data":null"#) && events[0].contains("odd"),
        "{events:?}"
    );
    assert_eq!(
        events[1],
        r#"{"data":{"x":{"slow":"slow 2","even":"even","id":2}}}"#
    );
}

#[tokio::test]
async fn engine_is_an_executor_of_async_graphql() {
    let engine = engine();
    let query = "query Q($first: Int) { list(first: $first) { slow id } }";
    let variables = async_graphql::Variables::from_json(json!({ "first": 1 }));
    let request = Request::new(query).variables(variables).operation_name("Q");

    let response = Executor::execute(&engine, request.data(Log::default())).await;
    let text = serde_json::to_string(&response).expect("JSON");
    assert_eq!(text, r#"{"data":{"list":[{"slow":"slow 0","id":0}]}}"#);

    let rejected = Executor::execute(&engine, Request::new("{ nothing }")).await;
    assert!(
        rejected.errors[0].message.contains("nothing"),
        "{rejected:?}"
    );

    let events = Request::new("subscription { counted(to: 3) { id } }");
    let events = Executor::execute_stream(&engine, events, None);
    assert_eq!(events.collect::<Vec<_>>().await.len(), 3);
    let single = Executor::execute_stream(&engine, Request::new("{ a { id } }"), None);
    let single: Vec<Response> = single.collect().await;
    assert!(single.len() == 1 && single[0].is_ok(), "{single:?}");
}

#[test]
fn document_cache_contains_only_valid_cacheable_documents() {
    let engine = engine();
    let is_cached = |query: &str| parsed(&engine, query).is_cached();
    let prepare = |query: &str, keep| engine.prepare(&parsed(&engine, query), keep).is_ok();
    assert!(prepare("{ a { id } }", false) && !is_cached("{ a { id } }"));
    assert!(prepare("{ a { id } }", true) && is_cached("{ a { id } }"));
    assert!(!is_cached("{ a { id  } }"), "another text");
    assert!(!prepare("{ nothing }", true) && !is_cached("{ nothing }"));
    let two = "query A { a { id } } query B { a { fast } }";
    let named = |name: &str| GraphqlRequest {
        operation_name: Some(name.to_owned()),
        ..request(two, json!({}))
    };
    let operation = engine.parse(named("A")).expect("an operation");
    engine.prepare(&operation, true).expect("valid");
    assert!(engine.parse(named("A")).expect("an operation").is_cached());
    assert!(!engine.parse(named("B")).expect("an operation").is_cached());
}

#[test]
fn document_cache_does_not_exceed_its_size() {
    let engine = engine();
    for number in 0..3000 {
        let query = format!(
            "{{ {} }}",
            format!("a{number}: a {{ id fast slow }} ").repeat(10)
        );
        prepared(&engine, &query, json!({})).expect("valid");
    }
    engine.documents.run_pending_tasks();
    let (count, weight) = (
        engine.documents.entry_count(),
        engine.documents.weighted_size(),
    );
    assert!(count > 50, "{count} documents");
    assert!(weight <= document_cache::CAPACITY, "{weight} bytes");
}

/// Valid documents that are large for their text.
fn heavy() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec![
        "id",
        "slow",
        "...on A{slow}",
        "...{id}",
        "maybeEven",
        "__typename",
        "id@skip(if:false)",
    ]);
    let fields = prop::collection::vec(field, 1..40).prop_map(|fields| fields.join(" "));
    let nested = (fields.clone(), fields, 0..5usize).prop_map(|(one, other, depth)| {
        let nested = format!("{}{one}{}", "same{".repeat(depth), "}".repeat(depth));
        format!("{{a{{{other} {nested}}} node{{...on A{{{one}}}...on B{{id size}}id}}}}")
    });
    prop_oneof![nested, Just("{a{id}}".to_owned())]
}

/// The weight of a document in the cache, and the bytes that it takes there.
fn weight_and_bytes(query: &str) -> (i64, i64) {
    let engine = engine();
    let operation = parsed(&engine, query);
    let mut known = None;
    let cost = measure(|| {
        known = Some(operation.validate(&engine.rules));
    });
    let weight = known.expect("validated").expect("valid").weight();
    (i64::try_from(weight).expect("a weight"), cost.bytes_current)
}

#[test]
fn document_weight_of_a_repeated_field_is_its_memory() {
    let fields = "x: fast ".repeat(15);
    let query = format!("{{a{{{fields}}} node{{...on A{{{fields}}}...on B{{id size}}id}}}}");
    let (weight, bytes) = weight_and_bytes(&query);
    assert!(
        (bytes..=10 * bytes).contains(&weight),
        "{weight} for {bytes} bytes"
    );
}

proptest! {
    #![proptest_config(crate::random::config())]

    #[test]
    fn random_documents_are_counted_with_at_least_the_bytes_that_they_take(query in heavy()) {
        let (weight, bytes) = weight_and_bytes(&query);
        prop_assert!(weight >= bytes, "{weight} for {bytes} bytes");
        prop_assert!(weight <= 10 * bytes, "{weight} for {bytes} bytes");
    }
}

#[test]
fn engine_supports_a_schema_without_mutations_and_subscriptions() {
    let mutation = async_graphql::EmptyMutation;
    let engine = Engine::build(
        Query,
        mutation,
        EmptySubscription,
        EngineSettings::default(),
    );
    let engine = engine.finish().expect("a valid schema");
    assert!(!engine.sdl().contains("Mutation"), "{}", engine.sdl());
}
