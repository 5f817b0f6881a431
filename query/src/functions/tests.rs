//! Every function is declared soundly; what they compute is told by the `.slt` files.

use super::*;

#[test]
fn test_names_are_unique_and_lower_case() {
    let mut names: Vec<String> =
        definitions().flat_map(|udf| [&[udf.name().to_owned()], udf.aliases()].concat()).collect();
    assert!(names.iter().all(|name| *name == name.to_lowercase()), "{names:?}");
    names.sort();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "a name is declared twice");
}

#[test]
fn test_arguments_are_counted_and_described() {
    for udf in definitions() {
        let error =
            udf.coerce_types(&vec![DataType::Duration(arrow::datatypes::TimeUnit::Second); 99]);
        assert!(error.is_err() || udf.coerce_types(&[DataType::Null]).is_ok(), "{}", udf.name());
    }
    let find = |name: &str| definitions().find(|udf| udf.name() == name).unwrap();
    let message =
        |name: &str, types: &[DataType]| find(name).coerce_types(types).unwrap_err().to_string();
    assert!(message("md5", &[]).contains("md5() takes 1 argument(s), not 0"));
    assert!(message("to_base", &[DataType::Int64]).contains("2 to 3 argument(s)"));
    assert!(message("md5", &[DataType::Int64]).contains("a text or a blob, not BIGINT"));
    assert_eq!(find("hash").coerce_types(&vec![DataType::Int8; 3]).unwrap().len(), 3);
}
