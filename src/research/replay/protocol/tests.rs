use super::*;

fn protocol(toml: &str) -> Protocol {
    let feed: Feed = toml::from_str(&format!("description = 'x'\n{toml}")).unwrap();
    Protocol::new(&feed, vec!["AB-C".to_owned(), "D".to_owned()], None).unwrap()
}

const BY_NAME: &str = r#"
    [channels.trades]
    table = "trades"
    topic = "{{ symbol|lower }}@trade"
    [channels.book]
    table = "book_deltas"
    topic = "{{ symbol|lower }}@book"
    [channels.deep]
    table = "book_deltas"
    topic = "{{ symbol|lower }}@book@all"
    [replay]
    subscribed = '{"done":{{ id }},"n":{{ topics|length }}}'
    unknown = '{"no":{{ topic|tojson }}}'
    [replay.subscribe]
    match = { "/op" = "sub" }
    topics = "/args"
    id = "/id"
    [replay.unsubscribe]
    match = { "/op" = "unsub" }
    topics = "/args"
"#;

fn topic(channel: u16, symbol: Option<u32>) -> Topic {
    Topic {
        channel: Channel(channel),
        symbol: symbol.map(Symbol),
    }
}

fn wanted(said: &Said) -> Vec<Option<Topic>> {
    match said {
        Said::Subscribe(asked) | Said::Unsubscribe(asked) => {
            asked.wanted.iter().map(|wanted| wanted.topic).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn topics_by_name_are_known_and_acknowledged() {
    let protocol = protocol(BY_NAME);
    // The channels are in the order of their names: book, deep, trades.
    let said = protocol.read(r#"{"op":"sub","args":["ab-c@trade","d@book","e@trade"],"id":9}"#);
    assert_eq!(
        wanted(&said),
        [Some(topic(2, Some(0))), Some(topic(0, Some(1))), None]
    );
    let Said::Subscribe(asked) = said else {
        panic!()
    };
    assert_eq!(
        protocol.subscribed(&asked, &Held::new()).unwrap(),
        [r#"{"done":9,"n":2}"#, r#"{"no":"e@trade"}"#]
    );
    let mut held = Held::new();
    protocol.take_up(&asked, &mut held);
    assert_eq!(held.len(), 2, "{held:?}");
    let said = protocol.read(r#"{"op":"unsub","args":"d@book, *@trade"}"#);
    assert_eq!(
        wanted(&said),
        [Some(topic(0, Some(1))), Some(topic(2, None))]
    );
    assert!(matches!(said, Said::Unsubscribe(_)));
    assert_eq!(protocol.read("hello"), Said::Other);
    assert_eq!(
        protocol.topics_of_address("/stream?streams=d@book/ab-c@trade/x"),
        [topic(0, Some(1)), topic(2, Some(0))]
    );
}

#[test]
fn a_message_belongs_to_the_topic_that_it_names() {
    let protocol = protocol(BY_NAME);
    let topics = |table: &str, message: &str| {
        let mut topics = Vec::new();
        protocol.topics(table, Symbol(1), message, &mut topics);
        topics
    };
    assert_eq!(topics("trades", "{}"), [topic(2, Some(1))]);
    assert_eq!(
        topics("book_deltas", r#"{"stream":"d@book"}"#),
        [topic(0, Some(1))]
    );
    assert_eq!(
        topics("book_deltas", r#"{"stream":"d@book@all"}"#),
        [topic(1, Some(1))]
    );
    assert_eq!(topics("book_deltas", "{}").len(), 2);
    assert!(topics("quotes", "{}").is_empty());
}

#[test]
fn channels_with_symbols_keyed_frames_and_logins() {
    let toml = r#"
        [channels.trades]
        table = "trades"
        topic = "T"
        [channels.quotes]
        table = "quotes"
        topic = '{"a":1, "b":2}'
        [websocket]
        url = "wss://x"
        [websocket.auth]
        send = '{"op":"login","key":"{{ secret.key }}"}'
        ok = { "/ok" = "true" }
        [websocket.ping]
        every = "5 s"
        send = "ping"
        pong = "pong"
        [replay]
        subscribed = '{{ by_channel|tojson }}'
    "#;
    let keyed = "[replay.subscribe]\nmatch = { '/op' = 'sub' }\nkeyed = true";
    let both = "[replay.subscribe]\nmatch = { '/op' = 'sub' }\nsymbols = '/s'\nchannels = '/c'";
    let (trades, quotes) = (1, 0);
    let by_key = protocol(&format!("{toml}{keyed}"));
    let said = by_key.read(r#"{"op":"sub","T":["D","*","E"]}"#);
    assert_eq!(
        wanted(&said),
        [
            Some(topic(trades, Some(1))),
            Some(topic(trades, None)),
            None
        ]
    );
    let Said::Subscribe(asked) = said else {
        panic!()
    };
    assert_eq!(
        by_key.subscribed(&asked, &Held::new()).unwrap(),
        [r#"{"T":["D","*","E"]}"#]
    );
    let by_both = protocol(&format!("{toml}{both}"));
    let said = by_both.read(r#"{"op":"sub","s":["D"],"c":["T",{"b":2,"a":1}]}"#);
    assert_eq!(
        wanted(&said),
        [Some(topic(trades, Some(1))), Some(topic(quotes, Some(1)))]
    );

    let login = |key: &str| by_both.read(&format!(r#"{{"op":"login","key":"{key}"}}"#));
    assert_eq!(login("x"), Said::Login { good: true });
    assert_eq!(login(""), Said::Login { good: false });
    assert_eq!(by_both.read("ping"), Said::Ping { id: Value::Null });
    assert_eq!(by_both.pong(&Value::Null).unwrap().as_deref(), Some("pong"));
}

/// Says a frame and gives the answers to it.
fn answers(protocol: &Protocol, held: &mut Held, text: &str) -> Vec<String> {
    match protocol.read(text) {
        Said::Subscribe(asked) => {
            protocol.take_up(&asked, held);
            protocol.subscribed(&asked, held).unwrap()
        }
        Said::Unsubscribe(mut asked) => {
            protocol.give_up(&mut asked, held);
            protocol.unsubscribed(&asked, held).unwrap()
        }
        Said::Ping { id } => protocol.pong(&id).unwrap().into_iter().collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_has_the_clients_id_if_there_is_one() {
    let with_id = "{% if id is not none %},\"id\":{{ id|tojson }}{% endif %}";
    let toml = BY_NAME
        .replace("{{ id }}", "{{ id|tojson }}")
        .replace(
            "unknown = ",
            &format!(
                "pong = '{{\"m\":\"pong\"{with_id}}}'\n\
                 unsubscribed = '{{\"left\":{{{{ topic|tojson }}}}{with_id}}}'\nunknown = "
            ),
        )
        .replace(
            "[replay.subscribe]",
            "[replay.ping]\nmatch = { \"/m\" = \"ping\" }\nid = \"/id\"\n[replay.subscribe]",
        );
    let protocol = protocol(&format!("{toml}\nid = \"/id\""));
    protocol.rehearse().unwrap();
    for (said, expected) in [
        (r#"{"m":"ping","id":5}"#, r#"{"m":"pong","id":5}"#),
        (r#"{"id":"a","m":"ping"}"#, r#"{"m":"pong","id":"a"}"#),
        (r#"{"m":"ping"}"#, r#"{"m":"pong"}"#),
        (
            r#"{"op":"sub","args":["d@book"],"id":"x"}"#,
            r#"{"done":"x","n":1}"#,
        ),
        (
            r#"{"op":"sub","args":["d@book"]}"#,
            r#"{"done":null,"n":1}"#,
        ),
        (
            r#"{"op":"unsub","args":["d@book"],"id":3}"#,
            r#"{"left":"d@book","id":3}"#,
        ),
        (
            r#"{"op":"unsub","args":["d@book"]}"#,
            r#"{"left":"d@book"}"#,
        ),
    ] {
        assert_eq!(answers(&protocol, &mut Held::new(), said), [expected]);
    }
}

#[test]
fn an_answer_that_is_no_json_without_an_id_is_found_beforehand() {
    let error = protocol(BY_NAME).rehearse().unwrap_err().to_string();
    assert!(error.contains("makes no JSON"), "{error}");
}

#[test]
fn channels_may_be_objects_and_what_is_held_is_listed() {
    let protocol = protocol(
        r#"
        [channels.trades]
        table = "trades"
        topic = "matches"
        [channels.book]
        table = "book_deltas"
        topic = "book_batch"
        [replay]
        subscribed = '{{ held|tojson }}'
        unsubscribed = '{{ held|tojson }}'
        [replay.aliases]
        book = "book_batch"
        [replay.subscribe]
        match = { "/op" = "sub" }
        symbols = "/symbols"
        channels = "/channels"
        object = { channel = "/name", symbols = "/symbols" }
        [replay.unsubscribe]
        match = { "/op" = "unsub" }
        symbols = "/symbols"
        channels = "/channels"
        object = { channel = "/name", symbols = "/symbols" }
    "#,
    );
    protocol.rehearse().unwrap();
    let own = r#"{"op":"sub","channels":[{"name":"matches","symbols":["D"]},"other"]}"#;
    let both = r#"{"op":"sub","symbols":["AB-C"],"channels":["book",{"name":"matches","symbols":["D","AB-C"]}]}"#;
    assert_eq!(wanted(&protocol.read(own)), [Some(topic(1, Some(1)))]);
    assert_eq!(
        wanted(&protocol.read(both)),
        [
            Some(topic(0, Some(0))),
            Some(topic(1, Some(0))),
            Some(topic(1, Some(1)))
        ]
    );
    let mut held = Held::new();
    for (said, expected) in [
        (own, r#"{"matches":["D"]}"#),
        (both, r#"{"book":["AB-C"],"matches":["AB-C","D"]}"#),
        (
            r#"{"op":"unsub","channels":[{"name":"matches","symbols":["D"]}]}"#,
            r#"{"book":["AB-C"],"matches":["AB-C"]}"#,
        ),
        (
            r#"{"op":"unsub","channels":["matches"]}"#,
            r#"{"book":["AB-C"]}"#,
        ),
        (
            r#"{"op":"unsub","channels":["matches"]}"#,
            r#"{"book":["AB-C"]}"#,
        ),
    ] {
        assert_eq!(answers(&protocol, &mut held, said), [expected], "{said}");
    }
    let Said::Unsubscribe(mut asked) = protocol.read(r#"{"op":"unsub","channels":["book"]}"#)
    else {
        panic!()
    };
    protocol.give_up(&mut asked, &mut held);
    assert_eq!(asked.wanted[0].topic, Some(topic(0, Some(0))));
    assert!(held.is_empty());
}

#[test]
fn a_prefix_tells_the_end_of_a_subscription() {
    let protocol = protocol(
        r#"
        [channels.trades]
        table = "trades"
        topic = "subTrades"
        [replay]
        subscribed = "on {{ channel }}"
        unsubscribed = "off {{ channel }}"
        [replay.subscribe]
        match = { "/method" = "*" }
        symbols = "/symbol"
        channels = "/method"
        [replay.unsubscribe]
        match = { "/method" = "*" }
        symbols = "/symbol"
        channels = "/method"
        prefix = "un"
    "#,
    );
    let mut held = Held::new();
    let mut say = |method: &str| {
        let text = format!(r#"{{"method":"{method}","symbol":"D"}}"#);
        answers(&protocol, &mut held, &text)
    };
    assert_eq!(say("subTrades"), ["on subTrades"]);
    assert_eq!(say("unsubTrades"), ["off subTrades"]);
    assert!(held.is_empty());
}

#[test]
fn a_symbol_is_known_without_its_punctuation() {
    let protocol = protocol(BY_NAME);
    assert_eq!(protocol.symbol_without_punctuation("abc"), Some(Symbol(0)));
    assert_eq!(protocol.symbol_without_punctuation("ABD"), None);
}
