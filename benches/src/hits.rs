//! `hits`: page views of a web analytics service in the schema of ClickBench, made up from a seed.
//!
//! The 105 columns have the names and types of the original; values are synthetic and only shaped like it: rows are
//! clustered by counter and day, users come in sessions, pages and users follow power laws, most of the rare attributes
//! are empty or zero, texts are of similar length. Figures from it are not ClickBench results.
//! Invariant: the rows of chunk `i` depend on the seed, the total and `i` alone.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, Date32Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringBuilder,
        TimestampSecondArray,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
};

use crate::random::{Random, mix};

/// Rows of a chunk.
pub const CHUNK: u64 = 1 << 18;

/// Midnight of the first day, in seconds since 1970: 1 July 2013.
const FIRST_DAY: i64 = 15_887;
const DAYS: u64 = 31;

/// The columns: S smallint, I integer, L bigint, D date, T timestamp, X text.
const COLUMNS: &str = "WatchID L JavaEnable S Title X GoodEvent S EventTime T EventDate D CounterID I ClientIP I \
RegionID I UserID L CounterClass S OS S UserAgent S URL X Referer X IsRefresh S RefererCategoryID S \
RefererRegionID I URLCategoryID S URLRegionID I ResolutionWidth S ResolutionHeight S ResolutionDepth S \
FlashMajor S FlashMinor S FlashMinor2 X NetMajor S NetMinor S UserAgentMajor S UserAgentMinor X CookieEnable S \
JavascriptEnable S IsMobile S MobilePhone S MobilePhoneModel X Params X IPNetworkID I TraficSourceID S \
SearchEngineID S SearchPhrase X AdvEngineID S IsArtifical S WindowClientWidth S WindowClientHeight S \
ClientTimeZone S ClientEventTime T SilverlightVersion1 S SilverlightVersion2 S SilverlightVersion3 I \
SilverlightVersion4 S PageCharset X CodeVersion I IsLink S IsDownload S IsNotBounce S FUniqID L OriginalURL X \
HID I IsOldCounter S IsEvent S IsParameter S DontCountHits S WithHash S HitColor X LocalEventTime T Age S Sex S \
Income S Interests S Robotness S RemoteIP I WindowName I OpenerName I HistoryLength S BrowserLanguage X \
BrowserCountry X SocialNetwork X SocialAction X HTTPError S SendTiming I DNSTiming I ConnectTiming I \
ResponseStartTiming I ResponseEndTiming I FetchTiming I SocialSourceNetworkID S SocialSourcePage X ParamPrice L \
ParamOrderID X ParamCurrency X ParamCurrencyID S OpenstatServiceName X OpenstatCampaignID X OpenstatAdID X \
OpenstatSourceID X UTMSource X UTMMedium X UTMCampaign X UTMContent X UTMTerm X FromTag X HasGCLID S \
RefererHash L URLHash L CLID I";

/// The schema; no column has NULLs.
pub fn schema() -> SchemaRef {
    let words: Vec<&str> = COLUMNS.split_whitespace().collect();
    let field = |pair: &[&str]| {
        let ty = match pair[1] {
            "S" => DataType::Int16,
            "I" => DataType::Int32,
            "L" => DataType::Int64,
            "D" => DataType::Date32,
            "T" => DataType::Timestamp(TimeUnit::Second, None),
            _ => DataType::Utf8,
        };
        Field::new(pair[0], ty, false)
    };
    Arc::new(Schema::new(words.chunks(2).map(field).collect::<Vec<_>>()))
}

/// The page views of `total` rows.
#[derive(Debug)]
pub struct Hits {
    total: u64,
    seed: u64,
    schema: SchemaRef,
    /// The first row of each counter.
    counters: Vec<u64>,
}

impl Hits {
    /// Page views from a seed.
    pub fn new(total: u64, seed: u64) -> Self {
        let count = (total / 3000).clamp(10, 6000);
        let weight = |rank: u64| 1.0 / (rank as f64 + 3.0);
        let sum: f64 = (0..count).map(weight).sum();
        // Counters stand in the order of their numbers, not of their popularity.
        let mut ranks: Vec<u64> = (0..count).collect();
        ranks.sort_by_key(|&rank| mix(rank ^ seed));
        let mut before = 0.0;
        let mut counters = Vec::new();
        for rank in ranks {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a row")]
            counters.push((before / sum * total as f64) as u64);
            before += weight(rank);
        }
        Self { total, seed, schema: schema(), counters }
    }

    /// How many chunks there are.
    pub fn chunks(&self) -> u64 {
        self.total.div_ceil(CHUNK)
    }

    /// The rows of a chunk.
    ///
    /// # Errors
    /// When Arrow refuses the columns, which would be a mistake here.
    pub fn chunk(&self, chunk: u64) -> Result<RecordBatch, ArrowError> {
        let mut random = Random::new(self.seed ^ mix(chunk));
        let mut out = Columns::new(&self.schema);
        let mut session = Session::default();
        for row in chunk * CHUNK..self.total.min((chunk + 1) * CHUNK) {
            if session.left == 0 {
                session = Session::new(&mut random, self.total);
            }
            session.left -= 1;
            let counter = self.counters.partition_point(|&first| first <= row) as u64 - 1;
            let first = self.counters[counter as usize];
            let end = self.counters.get(counter as usize + 1).copied().unwrap_or(self.total);
            let day = (row - first) * DAYS / (end - first);
            push_row(&mut out, &mut random, &mut session, counter, end - first, day, row);
        }
        out.finish(&self.schema)
    }
}

/// Page views of one user one after the other.
#[derive(Default)]
struct Session {
    left: u64,
    user: u64,
    second: u64,
    page: Option<u64>,
}

impl Session {
    fn new(random: &mut Random, total: u64) -> Self {
        let user = random.skewed((total / 4).max(10), 1.6);
        Self { left: 1 + random.skewed(24, 3.0), user, second: random.below(80_000), page: None }
    }
}

const WIDTHS: [i64; 12] = [1366, 1280, 1920, 1024, 1600, 1440, 1680, 1152, 320, 800, 768, 1638];
const SYLLABLES: [&str; 32] = [
    "ka",
    "lo",
    "mi",
    "ra",
    "ten",
    "vo",
    "shi",
    "du",
    "pe",
    "no",
    "gra",
    "zu",
    "bel",
    "fi",
    "cor",
    "an",
    "\u{43a}\u{430}",
    "\u{43b}\u{43e}",
    "\u{43c}\u{438}",
    "\u{440}\u{430}",
    "\u{442}\u{435}\u{43d}",
    "\u{432}\u{43e}",
    "\u{448}\u{438}",
    "\u{434}\u{443}",
    "\u{43f}\u{435}",
    "\u{43d}\u{43e}",
    "\u{433}\u{440}\u{430}",
    "\u{437}\u{443}",
    "\u{431}\u{435}\u{43b}",
    "\u{444}\u{438}",
    "\u{43a}\u{43e}\u{440}",
    "\u{430}\u{43d}",
];

/// Appends words that depend on `seed` alone.
fn words(text: &mut String, seed: u64, count: u64, alphabet: usize, separator: char) {
    let mut random = Random::new(seed);
    for word in 0..count {
        if word > 0 {
            text.push(separator);
        }
        for _ in 0..2 + random.below(3) {
            let syllable = random.below(16) as usize;
            text.push_str(SYLLABLES[syllable + alphabet * 16]);
        }
    }
}

fn url(counter: u64, page: u64) -> String {
    let mut text = String::from("http://");
    words(&mut text, mix(counter), 1, 0, '-');
    text.push_str(if counter.is_multiple_of(3) { ".com/" } else { ".ru/" });
    let key = mix(counter << 32 | page);
    words(&mut text, key % 40 + counter * 64, 1, 0, '-');
    text.push('/');
    words(&mut text, key, 2 + key % 4, 0, '_');
    match key % 5 {
        0 => text.push_str(".html"),
        1 => text.push_str(&format!("?id={page}&sort=price")),
        2 => text.push_str(&format!("/page{}/#{:x}", key % 90, key >> 20)),
        3 => text.push_str(&format!("?from={:x}&lr={}", key >> 30, key % 300)),
        _ => {}
    }
    text
}

/// What a visitor typed, by its number.
fn phrase(number: u64) -> String {
    let mut text = String::new();
    words(&mut text, number ^ 0x5eed, 1 + mix(number) % 5, 1, ' ');
    text
}

fn referer(random: &mut Random, session: &Session, counter: u64, search: Option<u64>) -> String {
    match (search, session.page) {
        (Some(number), _) if number.is_multiple_of(4) => {
            format!("http://www.google.ru/search?q={}&ie=utf-8", phrase(number).replace(' ', "+"))
        }
        (Some(number), _) => {
            format!("http://yandex.ru/yandsearch?text={}&lr={}", phrase(number), number % 220)
        }
        (None, Some(page)) => url(counter, page),
        (None, None) if random.chance(600) => String::new(),
        (None, None) => url(random.skewed(3000, 3.0), random.skewed(5000, 3.0)),
    }
}

fn push_row(
    out: &mut Columns,
    random: &mut Random,
    session: &mut Session,
    counter: u64,
    counter_rows: u64,
    day: u64,
    row: u64,
) {
    let user = mix(session.user);
    let page = random.skewed(counter_rows / 3 + 1, 2.2);
    let searched = random.chance(130);
    let search = searched.then(|| random.skewed(1_500_000, 2.5));
    let refresh = session.page.is_some() && random.chance(140);
    let page = if refresh { session.page.unwrap_or(page) } else { page };
    let url = url(counter, page);
    let referer = referer(random, session, counter, search);
    let mut title = String::new();
    // Several pages share a title.
    let key = mix((page / 3) << 16 ^ counter);
    words(&mut title, key, 3 + key % 7, usize::from(!counter.is_multiple_of(4)), ' ');
    session.page = Some(page);
    session.second = (session.second + random.below(240)).min(86_399);
    let date = FIRST_DAY + day as i64;
    let time = date * 86_400 + session.second as i64;
    let mobile = user % 100 < 6;
    let rare = |random: &mut Random, per_mille, values| {
        if random.chance(per_mille) { 1 + random.skewed(values, 2.0) as i64 } else { 0 }
    };
    let of_user = |shift: u32, values: u64| ((user >> shift) % values) as i64;
    let low = |value: u64| i64::from(value as u32 as i32);
    let width = if mobile { 320 } else { WIDTHS[(of_user(3, 144) as f64).sqrt() as usize] };

    out.int((mix(row ^ 0xabc) >> 1) as i64); // WatchID
    out.int(i64::from(user % 10 != 3)); // JavaEnable
    out.text(&title);
    out.int(1); // GoodEvent
    out.int(time); // EventTime
    out.int(date); // EventDate
    out.int(40 + counter as i64 * 17); // CounterID
    out.int(low(user >> 7)); // ClientIP
    out.int(of_user(5, 4000) * of_user(9, 7) % 5000); // RegionID
    out.int((user >> 1) as i64); // UserID
    out.int(i64::from(counter.is_multiple_of(50))); // CounterClass
    out.int(if mobile { 90 + of_user(4, 8) } else { of_user(6, 5) * 40 + 3 }); // OS
    out.int(of_user(8, 90)); // UserAgent
    out.text(&url);
    out.text(&referer);
    out.int(i64::from(refresh));
    out.int(if search.is_some() { 0 } else { key as i64 & 0x1fff }); // RefererCategoryID
    out.int(if referer.is_empty() { 0 } else { (key >> 20) as i64 % 1200 }); // RefererRegionID
    out.int((mix(counter) % 11_000) as i64); // URLCategoryID
    out.int((mix(counter + 1) % 1000) as i64); // URLRegionID
    out.int(width);
    out.int(width * if user.is_multiple_of(2) { 9 } else { 10 } / 16); // ResolutionHeight
    out.int(if user.is_multiple_of(20) { 24 } else { 37 - of_user(10, 2) * 14 }); // ResolutionDepth
    out.int(if mobile { 0 } else { 11 }); // FlashMajor
    out.int(of_user(11, 8)); // FlashMinor
    out.text(if mobile { "" } else { ["700", "800.94", "602", ""][of_user(12, 4) as usize] });
    out.int(of_user(13, 5)); // NetMajor
    out.int(of_user(14, 3)); // NetMinor
    out.int(of_user(15, 40)); // UserAgentMajor
    out.text(["D\u{fffd}", "0", "1", "12", "3", "62"][of_user(16, 6) as usize]);
    out.int(1); // CookieEnable
    out.int(1); // JavascriptEnable
    out.int(i64::from(mobile));
    out.int(if mobile { 1 + of_user(17, 60) } else { 0 }); // MobilePhone
    let models = ["iPad", "iPhone", "A500", "GT-I9500", "N8-00", "LT26i", "3110", "5800"];
    out.text(if mobile { models[of_user(18, 8) as usize] } else { "" });
    out.text(""); // Params
    out.int(low(user >> 9) & 0x3f_ffff); // IPNetworkID
    out.int(if search.is_some() { 2 } else { i64::from(random.chance(200)) * 3 - 1 }); // TraficSourceID
    out.int(search.map_or(0, |number| 2 + i64::from(number.is_multiple_of(4)) * 13)); // SearchEngineID
    out.text(&search.map_or(String::new(), phrase));
    let adv = rare(random, 6, 60);
    out.int(adv); // AdvEngineID
    out.int(0); // IsArtifical
    out.int(width - of_user(19, 30)); // WindowClientWidth
    out.int(width * 9 / 16 - 60 - of_user(20, 120)); // WindowClientHeight
    out.int([135, 150, 157, -1][of_user(21, 4) as usize]); // ClientTimeZone
    out.int(time + random.below(7200) as i64 - 3600); // ClientEventTime
    out.int(of_user(22, 6)); // SilverlightVersion1
    out.int(of_user(22, 2)); // SilverlightVersion2
    out.int(of_user(22, 6) * 10_000 + 1401); // SilverlightVersion3
    out.int(0); // SilverlightVersion4
    out.text(if counter.is_multiple_of(3) { "windows-1251;charset" } else { "utf-8" });
    out.int(1601); // CodeVersion
    out.int(i64::from(random.chance(40))); // IsLink
    out.int(i64::from(random.chance(2))); // IsDownload
    out.int(i64::from(random.chance(120))); // IsNotBounce
    out.int((mix(user) >> 1) as i64 * i64::from(!user.is_multiple_of(8))); // FUniqID
    out.text(if random.chance(60) { &url } else { "" }); // OriginalURL
    out.int((random.bits() >> 34) as i64); // HID
    out.int(0); // IsOldCounter
    out.int(0); // IsEvent
    out.int(0); // IsParameter
    out.int(i64::from(random.chance(60))); // DontCountHits
    out.int(0); // WithHash
    out.text(["5", "S", "E", "D", "T", "g"][random.skewed(6, 3.0) as usize]); // HitColor
    out.int(time + of_user(23, 5) * 3600); // LocalEventTime
    out.int([0, 16, 22, 26, 31, 39, 50, 0][of_user(24, 8) as usize]); // Age
    out.int(of_user(25, 3)); // Sex
    out.int(of_user(26, 5)); // Income
    out.int(of_user(27, 20_000)); // Interests
    out.int(of_user(28, 40) * i64::from(user.is_multiple_of(4))); // Robotness
    out.int(low(user >> 11)); // RemoteIP
    out.int(if random.chance(700) { -1 } else { random.below(40_000) as i64 }); // WindowName
    out.int(if random.chance(900) { -1 } else { random.below(40_000) as i64 }); // OpenerName
    out.int(if random.chance(300) { -1 } else { 1 + random.skewed(120, 3.0) as i64 });
    out.text(if user % 50 == 1 { "en" } else { "ru" }); // BrowserLanguage
    out.text(["RU", "UA", "BY", "KZ", "NH", "\u{0}\u{0}"][of_user(30, 36) as usize / 6]);
    out.text(""); // SocialNetwork
    out.text(""); // SocialAction
    out.int(0); // HTTPError
    let timing = |random: &mut Random| random.skewed(30_000, 6.0) as i64;
    out.int(timing(random)); // SendTiming
    out.int(timing(random) / 8); // DNSTiming
    out.int(timing(random)); // ConnectTiming
    out.int(timing(random)); // ResponseStartTiming
    out.int(timing(random)); // ResponseEndTiming
    out.int(timing(random)); // FetchTiming
    let social = rare(random, 8, 12);
    out.int(social); // SocialSourceNetworkID
    out.text(if social > 0 { "http://vk.com/feed" } else { "" });
    let order = random.chance(1);
    out.int(if order { random.below(90_000) as i64 } else { 0 }); // ParamPrice
    out.text(if order { "order" } else { "" });
    out.text("NH\u{1c}"); // ParamCurrency
    out.int(0); // ParamCurrencyID
    let openstat = adv > 0 && random.chance(500);
    out.text(if openstat { "direct.yandex.ru" } else { "" });
    out.text(&if openstat { (key % 3000).to_string() } else { String::new() });
    out.text(&if openstat { (key % 90_000).to_string() } else { String::new() });
    out.text(if openstat { "yandex.ru:premium" } else { "" });
    let utm = random.chance(30);
    out.text(if utm { ["market.yandex.ru", "mail", "vk", "google"][key as usize % 4] } else { "" });
    out.text(if utm { ["cpc", "cpm", "email"][key as usize % 3] } else { "" });
    out.text(&if utm { (key % 2000).to_string() } else { String::new() });
    out.text(&if utm { (key % 40_000).to_string() } else { String::new() });
    out.text(if utm { "kupit" } else { "" });
    out.text(if random.chance(1) { "rss" } else { "" }); // FromTag
    out.int(i64::from(random.chance(12))); // HasGCLID
    out.int((mix(referer.len() as u64 ^ page << 9) >> 1) as i64); // RefererHash
    out.int((mix(counter << 40 ^ page) >> 1) as i64); // URLHash
    out.int(0); // CLID
}

/// Columns that are being filled, row by row, in schema order.
struct Columns {
    columns: Vec<Column>,
    next: usize,
}

enum Column {
    Int(Vec<i64>),
    Text(StringBuilder),
}

impl Columns {
    fn new(schema: &Schema) -> Self {
        let column = |field: &Arc<Field>| match field.data_type() {
            DataType::Utf8 => Column::Text(StringBuilder::new()),
            _ => Column::Int(Vec::with_capacity(CHUNK as usize)),
        };
        Self { columns: schema.fields().iter().map(column).collect(), next: 0 }
    }

    fn column(&mut self) -> &mut Column {
        let column = self.next;
        self.next = (column + 1) % self.columns.len();
        &mut self.columns[column]
    }

    fn int(&mut self, value: i64) {
        if let Column::Int(values) = self.column() {
            values.push(value);
        }
    }

    fn text(&mut self, value: &str) {
        if let Column::Text(values) = self.column() {
            values.append_value(value);
        }
    }

    fn finish(self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let array = |(column, field): (Column, &Arc<Field>)| -> ArrayRef {
            let values = match column {
                Column::Text(mut values) => return Arc::new(values.finish()),
                Column::Int(values) => values.into_iter(),
            };
            #[expect(clippy::cast_possible_truncation, reason = "values are made for their type")]
            match field.data_type() {
                DataType::Int16 => Arc::new(values.map(|v| v as i16).collect::<Int16Array>()),
                DataType::Int32 => Arc::new(values.map(|v| v as i32).collect::<Int32Array>()),
                DataType::Date32 => {
                    Arc::new(Date32Array::from_iter_values(values.map(|v| v as i32)))
                }
                DataType::Timestamp(..) => Arc::new(TimestampSecondArray::from_iter_values(values)),
                _ => Arc::new(values.collect::<Int64Array>()),
            }
        };
        let columns = self.columns.into_iter().zip(schema.fields()).map(array).collect();
        RecordBatch::try_new(Arc::clone(schema), columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_chunks_have_the_schema_and_repeat() {
        let hits = Hits::new(CHUNK + 1000, 1);
        assert_eq!((hits.schema.fields().len(), hits.chunks()), (105, 2));
        let rows = hits.chunk(1).unwrap();
        assert_eq!(rows.num_rows(), 1000);
        assert_eq!(rows, Hits::new(CHUNK + 1000, 1).chunk(1).unwrap());
        assert_ne!(rows, Hits::new(CHUNK + 1000, 2).chunk(1).unwrap());
    }
}
