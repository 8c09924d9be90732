use super::*;

fn format(bytes: &[u8]) -> Result<Format, String> {
    format_of(bytes, Packing::None)
}

fn csv(text: &str) -> Csv {
    match format(text.as_bytes()) {
        Ok(Format::Csv(csv)) => csv,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn text_is_told_by_its_first_line() {
    for (text, delimiter, first, header) in [
        ("a,b\n1,2\n", ',', vec!["a", "b"], true),
        ("a;b;c,d\n", ';', vec!["a", "b", "c,d"], true),
        ("a\tb\r\n1\t2\n", '\t', vec!["a", "b"], true),
        ("a|b", '|', vec!["a", "b"], true),
        ("1,2.5,x\n", ',', vec!["1", "2.5", "x"], false),
        ("\"a,b\",\"c\"\"d\"\n", ',', vec!["a,b", "c\"d"], true),
        ("\u{feff}ts,price\n", ',', vec!["ts", "price"], true),
        ("a,,c\n", ',', vec!["a", "", "c"], false),
        ("one\n1\n", ',', vec!["one"], true),
    ] {
        let found = csv(text);
        assert_eq!(found.delimiter, delimiter, "{text:?}");
        assert_eq!(found.first, first, "{text:?}");
        assert_eq!(found.header, header, "{text:?}");
    }
}

#[test]
fn formats_are_told_by_their_first_bytes() {
    assert_eq!(format(b"PAR1...."), Ok(Format::Parquet));
    assert_eq!(format(b"ARROW1\0\0"), Ok(Format::Arrow));
    assert_eq!(format(b"DBN\x03"), Ok(Format::Dbn));
    assert_eq!(format(b"  [{\"a\":1}]"), Ok(Format::Json));
    assert_eq!(format(b"{\"a\":1}\n{\"a\":2}"), Ok(Format::Json));
}

#[test]
fn what_is_no_table_says_why() {
    let wide = vec![b','; HEAD_BYTES];
    let mut many = vec![b','; 5000];
    many.push(b'\n');
    let mut endless = b"ts,price\n".to_vec();
    endless.resize(HEAD_BYTES, b'0');
    for (bytes, why) in [
        (&b""[..], "empty"),
        (&b"\x7fELF\0\0"[..], "binary"),
        (&wide[..], "first line has more than"),
        (&many[..], "at most 4096 columns"),
        (&endless[..], "second line has more than 32 KB"),
        (&b"a,\xff\xfe\n"[..], "no UTF-8"),
    ] {
        let error = format(bytes).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let error = format_of(b"PAR1", Packing::Gzip).unwrap_err();
    assert!(error.contains("unpack it first"), "{error}");
}
