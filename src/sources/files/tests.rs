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
fn a_line_with_empty_fields_or_years_holds_names_if_the_line_below_says_so() {
    for (text, names) in [
        (",price,size\n0,1.5,2\n", Some("column0,price,size")),
        ("\"\",price\n2024-01-01,1.5\n", Some("column0,price")),
        ("a,b,\r\n\r\n1,2,\r\n", Some("a,b,column2")),
        ("symbol,2023,2024\nA,1.5,2\n", Some("symbol,2023,2024")),
        (",2023,2024\n0,1,2", Some("column0,2023,2024")),
        (",symbol,name\n0,A,x\n", Some("column0,symbol,name")),
        (",symbol\n2024-01-01,A\n", Some("column0,symbol")),
        // These are rows.
        ("A,,x\nB,,y\n", None),
        ("A,,x\n", None),
        ("A,2023,2024\nB,2022,2025\n", None),
        ("2023,2024\n1,2\n", None),
        ("A,1.5,T\nB,2.5,3\n", None),
        ("A,N/A,\nB,2.5,\n", None),
        (",A\n7,B\n", None),
        ("28800009,137.45,100,T\n28800010,137.45,100,1\n", None),
    ] {
        let found = csv(text);
        assert_eq!(found.header, names.is_some(), "{text:?}");
        if let Some(names) = names {
            assert_eq!(found.first.join(","), names, "{text:?}");
        }
    }
    let other = csv("a:b\n1:2\n").with(':').unwrap();
    assert_eq!((other.first.len(), other.header), (2, true));
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
        (&b"\xff\xfea\0,\0b\0\n\0"[..], "UTF-16"),
        (&b"\xfe\xff\0a\0\n"[..], "UTF-16"),
        (&b"\xef\xbb\xbf[{\"a\":1}]"[..], "byte order mark"),
    ] {
        let error = format(bytes).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let error = format_of(b"PAR1", Packing::Gzip).unwrap_err();
    assert!(error.contains("unpack it first"), "{error}");
}
