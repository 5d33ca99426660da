//! Documents of attackers, for the tests and for the example that measures
//! their cost.

const VIEWER: &str = "{ viewer { handle } }";

/// Documents that are expensive, unless the server checks them before it
/// processes them.
pub fn hostile() -> Vec<(&'static str, String)> {
    let many =
        |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let doubling = many(22, &|number| {
        let next = number + 1;
        format!("fragment f{number} on Query{{...f{next} ...f{next}}}")
    });
    let circles = "type { fields { ".repeat(9) + "name" + &"} }".repeat(9);
    vec![
        (
            "fragments that double",
            format!("{{...f0}}{doubling}fragment f22 on Query{{__typename}}"),
        ),
        (
            "fragments in fragments",
            {
                let inline = |link: &str| format!("{}{link}{}", "...{".repeat(150), "}".repeat(150));
                let links = many(40, &|number| {
                    format!("fragment f{number} on Query{{{}}}", inline(&format!("...f{}", number + 1)))
                });
                format!("{{...f0}}{links}fragment f40 on Query{{__typename}}")
            },
        ),
        (
            "introspection by fragments",
            {
                let spreads = many(17, &|number| format!("...f{number} "));
                let fragments = many(16, &|number| {
                    let list = ["interfaces", "possibleTypes"][number % 2];
                    format!("fragment f{} on __Type{{{list}{{...f{number}}}}}", number + 1)
                });
                format!("{{__schema{{types{{{spreads}}}}}}}fragment f0 on __Type{{possibleTypes{{name}}}}{fragments}")
            },
        ),
        (
            "aliases",
            format!("{{{}}}", many(10_000, &|number| format!("a{number}:__typename "))),
        ),
        (
            "few aliases too many",
            format!(
                "{{{}}}",
                many(31, &|number| format!("a{number}:viewer{{handle}} "))
            ),
        ),
        ("duplicate fields", format!("{{{}}}", "__typename ".repeat(10_000))),
        (
            "levels",
            format!("{}{}", "{viewer".repeat(200_000), "}".repeat(200_000)),
        ),
        ("lists in lists", format!("{{node(id:{})}}", "[".repeat(20_000))),
        ("a comment", format!("#{}\n{VIEWER}", "x".repeat(2_000_000))),
        (
            "unused variables",
            format!(
                "query({}){VIEWER}",
                many(10_000, &|number| format!("$v{number}:Int "))
            ),
        ),
        (
            "operations",
            many(5000, &|number| format!("query q{number}{VIEWER}")),
        ),
        (
            "introspection in circles",
            format!("{{ __schema {{ types {{ fields {{ {circles} }} }} }} }}"),
        ),
        (
            "no tokens",
            format!("{{viewer{{{}", "%".repeat(31_000)),
        ),
        (
            "a large answer",
            format!(
                "{{ messages(messageGroupUuid: \"9b5ff2ec-0d3d-4ae6-a5ee-1f2f1a4b9f0e\", last: 40) {{ edges {{ node {{ \
                 messageGroup {{ messages(last: 40) {{ edges {{ node {{ {} }} }} }} }} }} }} }} }}",
                many(30, &|number| format!("b{number}: body "))
            ),
        ),
        (
            "objects",
            "{ messageGroups(first: 100) { edges { node { messages(first: 100) { edges { node { sender { handle } } } } } } } }"
                .to_owned(),
        ),
        (
            "depth",
            format!(
                "{{ viewer {}{} }}",
                "{ messageGroup { otherUser ".repeat(6),
                "{ handle } ".to_owned() + &"} } ".repeat(6)
            ),
        ),
    ]
}
