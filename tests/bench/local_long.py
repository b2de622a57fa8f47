"""Talks that take long: many tools, many parameters, long answers of tools, many messages."""

from tests.bench.local_probes import AS_USER, FAILED, Probe, ProbeTalk

OFFICE = ProbeTalk(
    "office, 12 tools",
    (
        Probe("Good morning!"),
        Probe(
            "Book the room Oak for 2026-12-03 at 14:30 for 45 minutes, 6 people, title Budget.",
            ("Oak|4711|booked",),
            (FAILED,),
            ("book_room",),
            arguments={"room": "Oak", "date": "2026-12-03", "minutes": 45, "people": 6},
        ),
        Probe(
            "Read https://museum.example/visit and tell me when it is open.",
            ("10",),
            (FAILED,),
            ("read_page",),
        ),
        Probe("Which of my files is about insurance?", ("insurance",), (), ("list_files",)),
        Probe("Rename menu.pdf to lunch.pdf.", ("renamed|lunch",), (), ("rename_file",)),
        Probe(
            "What time is it in Lima and in Dublin?",
            ("Lima", "Dublin"),
            (FAILED,),
            zones=("America/Lima", "Europe/Dublin"),
        ),
        Probe("What's the capital of Norway?", ("Oslo",)),
    ),
    desk="office",
)

_CHAT = (
    Probe("I went to the market this morning and bought apples and bread."),
    Probe("My sister visits me next week, she is a teacher."),
    Probe("What is 7 * 8?", ("56",)),
    Probe("Yesterday was sunny, but my tomatoes need rain."),
    Probe("What's the capital of Peru?", ("Lima",)),
    Probe("Thanks."),
    Probe("What time is it in Oslo?", (), (FAILED,), zones=("Europe/Oslo",)),
    Probe("I am reading a book about old ships and I like it a lot."),
)
LONG = ProbeTalk(
    "60 messages",
    (
        Probe("Hello! My name is Ada and I live in Bern.", (), (AS_USER,)),
        *_CHAT * 3,
        *_CHAT[:2],
        Probe(
            "What time is it in Seoul and in Lisbon?",
            ("Seoul", "Lisbon"),
            (FAILED,),
            zones=("Asia/Seoul", "Europe/Lisbon"),
        ),
        Probe("Who am I, and where do I live?", ("Ada", "Bern"), (AS_USER,)),
        Probe("What am I reading?", ("ship",)),
    ),
)
