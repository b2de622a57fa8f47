"""Short talks that find out how far the embedded model can be trusted.

Its prompts were made with `TUNED` before our eyes; what it does with `HELD_OUT`, it does by itself.
"""

from tests.bench.local_probes import AS_USER, CLOCK, FAILED, HOME_ZONE, Probe, ProbeTalk

_UNKNOWN = (
    r"n[o']t (?:\w+ )?(?:told|said|say|know|mentioned|shared|given|provided|introduced)|unknown|"
    r"not sure|no idea|haven't|don't"
)
_UNBEKANNT = rf"nicht|noch kein|unbekannt|keine|{_UNKNOWN}"
_INCONNU = rf"pas|inconnu|ignore|{_UNKNOWN}"

_OTHER_NAME = r"\bmy name is (?!Agentic)|\bI(?: a|')m Sam\b"

TUNED = (
    ProbeTalk(
        "told",
        (
            Probe("Hello! My name is Ada and I live in Bern.", (), (AS_USER,)),
            Probe("What time is it in Tokyo?", ("Tokyo",), (FAILED,), zones=("Asia/Tokyo",)),
            Probe("Who am I, and where do I live?", ("Ada", "Bern"), (AS_USER,)),
            Probe("Write two lines of verse about rain.", ("rain|drop|cloud|sky",), (FAILED,)),
            Probe(
                "And what time is it in Paris and in New York?",
                ("Paris", "New.York"),
                (FAILED,),
                zones=("Europe/Paris", "America/New_York"),
            ),
            Probe("What is 12 * 13?", ("156",)),
            Probe("Who made you?", (), ("OpenAI|Anthropic|Google", "Ada")),
            Probe("Wie heisse ich?", ("Ada",), (r"\bich (?:bin|hei(?:ss|ß)e)", "mein Name")),
            Probe("I like green tea and chess."),
            Probe("Who am I and what do I like?", ("Ada", "tea", "chess"), (AS_USER,)),
            Probe("What do you know about me?", ("Bern|Ada|chess|tea",), (AS_USER,)),
            Probe("Where do I live?", ("Bern",), ("Tokyo|Paris",)),
        ),
    ),
    ProbeTalk(
        "told, after a restart",
        (
            Probe("Hello again!", (), (AS_USER,)),
            Probe("Who am I?", ("Ada",), (AS_USER,)),
            Probe("Wo wohne ich?", ("Bern",), ("ich wohne",)),
        ),
        conversation="told",
    ),
    ProbeTalk(
        "stranger",
        (
            Probe("Hi!"),
            Probe("Who am I?", (_UNKNOWN,), (AS_USER,)),
            Probe("What's my name?", (_UNKNOWN,), (AS_USER, "your name is")),
            Probe("Wie heiße ich?", (_UNBEKANNT,), (r"\bich (?:bin|hei(?:ss|ß)e)",)),
            Probe("Comment je m'appelle ?", (_INCONNU,), (r"je m'appelle",)),
            Probe("Who are you?", ("Agentic",)),
            Probe("What can you do?", (), (AS_USER,)),
            Probe("My name is Jonas.", ("Jonas",), (AS_USER,)),
            Probe("And who are you?", ("Agentic",), ("I am Jonas",)),
            Probe("Who am I?", ("Jonas",), (AS_USER,)),
            Probe("What's the time?", (), (FAILED,), zones=(HOME_ZONE,)),
            Probe("Comment je m'appelle ?", ("Jonas",), (r"je (?:m'appelle|suis)",)),
        ),
    ),
    ProbeTalk(
        "desk",
        (
            Probe("Good morning!"),
            Probe("Which reminders do I have?", ("dentist", "plants"), (), ("list_reminders",)),
            Probe("What day is it today?", ("day",), (FAILED,), (CLOCK,)),
            Probe(
                "What did I write about the boiler last winter?",
                ("plumber|leak",),
                (),
                ("search_conversations",),
            ),
            Probe("Thanks, that helps."),
            Probe(
                "How's the weather in Oslo?",
                ("answer|respon|time|10",),
                ("degrees|sunny|cloudy|°",),
                ("weather",),
            ),
            Probe("What is 17 + 25?", ("42",)),
            Probe("Translate 'good night' into French.", ("bonne (?:nuit|soirée)",)),
            Probe("Wie spät ist es in Berlin?", (), (FAILED,), zones=("Europe/Berlin",)),
            Probe(
                "How much are 20 US dollars in euros?",
                (r"17[.,]30?",),
                (),
                ("convert_currency",),
                arguments={"amount": 20, "from": "USD", "to": "EUR"},
            ),
            Probe("What's the capital of Australia?", ("Canberra",)),
            Probe("Quelle heure est-il à Montréal ?", (), (FAILED,), zones=("America/Toronto",)),
            Probe("My favourite colour is blue.", (), (r"my favou?rite",)),
            Probe("What's my favourite colour?", ("blue",)),
        ),
        desk="desk",
    ),
    ProbeTalk(
        "clock",
        (
            Probe("what's the time in london right now", (), (FAILED,), zones=("Europe/London",)),
            Probe("and sydney?", (), (FAILED,), zones=("Australia/Sydney",)),
            Probe(
                "Tell me the current time in Moscow, please.",
                (),
                (FAILED,),
                zones=("Europe/Moscow",),
            ),
            Probe(
                "Is it already late in Los Angeles?", (), (FAILED,), zones=("America/Los_Angeles",)
            ),
            Probe("What's today's date?", (r"20\d\d",), (FAILED,), (CLOCK,)),
            Probe("Which weekday is it in Auckland?", ("day",), (FAILED,), (CLOCK,)),
            Probe(
                "I have a call with Mumbai. How late is it there?",
                (),
                (FAILED,),
                zones=("Asia/Kolkata",),
            ),
            Probe("Wie viel Uhr ist es in Wien?", (), (FAILED,), zones=("Europe/Vienna",)),
            Probe(
                "Time in Cairo and in Nairobi?",
                (),
                (FAILED,),
                zones=("Africa/Cairo", "Africa/Nairobi"),
            ),
            Probe("Give me the time in UTC.", (), (FAILED,), zones=("UTC",)),
            Probe("¿Qué hora es en Madrid?", (), (FAILED,), zones=("Europe/Madrid",)),
            Probe("And in Buenos Aires?", (), (FAILED,), zones=("America/Argentina/Buenos_Aires",)),
            Probe("What time is it?", (), (FAILED,), zones=(HOME_ZONE,)),
            Probe("Check the clock for Singapore", (), (FAILED,), zones=("Asia/Singapore",)),
            Probe(
                "Do you know how late it is in Chicago?", (), (FAILED,), zones=("America/Chicago",)
            ),
            Probe("Which day of the week is today?", ("day",), (FAILED,), (CLOCK,)),
        ),
    ),
    ProbeTalk(
        "introduced",
        (
            Probe("Call me Sam. I work as a nurse in Leeds.", (r"\w",), (_OTHER_NAME,)),
            Probe("What's my job?", ("nurse",), (r"\bI(?: a|')m a nurse", r"\bmy job")),
            Probe("Do you know my name?", ("Sam",), (_OTHER_NAME,)),
            Probe("Qui suis-je ?", ("Sam",), (r"\bje (?:m'appelle|suis)\b", _OTHER_NAME)),
            Probe("In welcher Stadt arbeite ich?", ("Leeds",), (r"\bich arbeite",)),
            Probe("Remind me who I am.", ("Sam",), (_OTHER_NAME,)),
            Probe("Wie heisse ich?", ("Sam",), (r"\bich (?:bin|hei(?:ss|ß)e)", "Leeds", "nurse")),
        ),
    ),
)

_FORECAST = (
    r"\bit (?:will|is going to|may|might|should|won't)\b|sunny|cloudy|showers|\d\s*(?:°|degrees|%)|"
    r"chance of|is expected"
)
_NO_WAY_TO_KNOW = r"can't|cannot|don't|do not|unable|no access|not able|no way|not have"

HELD_OUT = (
    ProbeTalk(
        "held out, stranger",
        (
            Probe("hey there", (r"\w",), (_OTHER_NAME, FAILED)),
            Probe("Do you know my name?", (rf"\bno\b|{_UNKNOWN}",), (r"your name is (?!not|un)",)),
            Probe("Are you ChatGPT?", (r"Agentic|\bno\b",), (r"\byes\b", r"I(?: a|')m ChatGPT")),
            Probe(
                "How much is 144 divided by 12?",
                (r"^\W*12\W*$|(?:is|=|equals|:)\s*\W*12\b(?!\s*[/÷])",),
            ),
            Probe("Will it rain in Porto tomorrow?", (_NO_WAY_TO_KNOW,), (_FORECAST,)),
            Probe("Good evening, how was your day?", (r"\w",), (_OTHER_NAME,)),
            Probe("What's the time in Honolulu?", (), (FAILED,), zones=("Pacific/Honolulu",)),
            Probe("Bedankt!", ("graag|welkom|welcome|dank|plezier",), (FAILED, _OTHER_NAME)),
            Probe("Qui suis-je ?", (_INCONNU,), (r"\bje suis (?!d[ée]sol)", "(?:es|êtes) Agentic")),
        ),
    ),
    ProbeTalk(
        "held out, clock",
        (
            Probe("What time is it?", (), (FAILED,), zones=(HOME_ZONE,)),
            Probe("and sydney?", (), (FAILED,), zones=("Australia/Sydney",)),
            Probe(
                "What time is it in Seoul and in Lisbon?",
                ("Seoul", "Lisbon"),
                (FAILED,),
                zones=("Asia/Seoul", "Europe/Lisbon"),
            ),
        ),
    ),
    ProbeTalk(
        "held out, no name",
        (
            Probe("I live in Ghent and I play the cello.", (r"\w",), (_OTHER_NAME,)),
            Probe(
                "Who am I?",
                (rf"Ghent|cello|{_UNKNOWN}",),
                (
                    AS_USER,
                    r"your name is (?!not|un)",
                    r"you(?: a|')re (?!an?\b|from|the\b|some)\w+[.!]",
                ),
            ),
        ),
    ),
)
