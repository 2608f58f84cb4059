//! The world's people and things.

pub(super) const NAMES: [&str; 64] = [
    "Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Karen",
    "Leo", "Mia", "Nils", "Olga", "Paul", "Rosa", "Simon", "Tina", "Victor", "Wanda", "Oscar",
    "Yara", "Zoe", "Adam", "Bella", "Carl", "Dora", "Erik", "Fiona", "Georg", "Helen", "Ivan",
    "Julia", "Kurt", "Lena", "Max", "Nora", "Otto", "Petra", "Ruth", "Sven", "Tara", "Ulf", "Vera",
    "Walter", "Alma", "Bruno", "Cora", "Dirk", "Elsa", "Frank", "Gina", "Heidi", "Igor", "Jana",
    "Klaus", "Lisa", "Mark", "Nina", "Peter", "Rita", "Sara", "Tom",
];

pub(super) const CITIES: [&str; 20] = [
    "Oslo", "Rome", "Paris", "London", "Berlin", "Madrid", "Vienna", "Dublin", "Prague", "Lisbon",
    "Athens", "Cairo", "Lima", "Quito", "Kyoto", "Delhi", "Boston", "Denver", "Havana", "Tunis",
];

pub(super) const JOBS: [&str; 20] = [
    "baker", "doctor", "farmer", "painter", "teacher", "pilot", "singer", "tailor", "lawyer",
    "writer", "dentist", "plumber", "sailor", "judge", "nurse", "barber", "miner", "waiter",
    "hunter", "gardener",
];

pub(super) const FOODS: [&str; 20] = [
    "rice", "soup", "bread", "cheese", "pasta", "salad", "fish", "beans", "honey", "apples",
    "plums", "nuts", "corn", "eggs", "ham", "cake", "pears", "figs", "dates", "noodles",
];

pub(super) const ANIMALS: [&str; 16] = [
    "dog", "cat", "horse", "goat", "duck", "sheep", "rabbit", "parrot", "turtle", "pony",
    "hamster", "goose", "snake", "mouse", "donkey", "cow",
];

/// Each trait with its opposite.
pub(super) const TRAITS: [(&str, &str); 12] = [
    ("tall", "short"),
    ("rich", "poor"),
    ("young", "old"),
    ("happy", "sad"),
    ("strong", "weak"),
    ("loud", "quiet"),
    ("kind", "cruel"),
    ("brave", "timid"),
    ("clever", "foolish"),
    ("neat", "messy"),
    ("lazy", "busy"),
    ("polite", "rude"),
];
