"""How questions are worded: for training, and others that are kept for tests. Data; knows no answers.

``{a}``, ``{b}`` are regions, ``{all}`` and ``{any}`` lists of them; ``{x}`` is a name, ``{xs}`` its plural;
``{color}``, ``{side}``, ``{place}``, ``{most}`` and ``{more}`` are words, ``{absent}`` is a region without a box.
"""

from dataclasses import dataclass
from enum import Enum


class Phrasings(Enum):
    """Which wordings are used."""

    TRAIN = "train"
    HELD_OUT = "held-out"


@dataclass(frozen=True)
class Wording:
    """The ways to ask one thing."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]

    def of(self, phrasings: Phrasings) -> tuple[str, ...]:
        """The ways that ``phrasings`` allows."""
        return self.train if phrasings is Phrasings.TRAIN else self.held_out


NAME = Wording(
    (
        "What is {a}?",
        "What is {a}?",
        "What's {a}?",
        "What is in {a}?",
        "What is that in {a}?",
        "What's this? {a}",
        "{a}: what is it?",
        "What does {a} show?",
        "What can you see in {a}?",
        "Can you tell me what {a} is?",
        "Do you know what {a} is?",
        "Name {a}.",
        "Please name the thing in {a}.",
        "Identify {a}.",
        "What object is {a}?",
        "What would you call {a}?",
        "Which thing is marked by {a}?",
        "Which object is {a}?",
        "Which thing is {a}?",
        "Which object can be seen in {a}?",
        "Tell me what {a} is.",
        "what is {a} called?",
        "I wonder what {a} is.",
    ),
    ("What thing is in {a}?", "What do you see in {a}?", "Could you identify {a} for me?", "What might {a} be?"),
)

DESCRIBE = Wording(
    (
        "Describe {a}.",
        "Please describe {a}.",
        "Tell me about {a}.",
        "Describe the thing in {a}.",
        "Give me a short description of {a}.",
        "What does {a} look like?",
        "Can you describe {a}?",
        "What can you say about {a}?",
        "Describe {a} in a sentence.",
        "Tell me more about {a}.",
        "I want to know more about {a}.",
        "Describe what is in {a}.",
        "Describe what you see in {a}.",
        "Please describe what {a} shows.",
        "Can you describe what you see in {a}?",
        "Say a few words about {a}.",
        "What is there to say about {a}?",
    ),
    ("Could you describe what is in {a}?", "What can you tell me about {a}?", "Say something about {a}."),
)

COLOR = Wording(
    (
        "What color is {a}?",
        "What color is {a}?",
        "What's the color of {a}?",
        "What is the color of {a}?",
        "Which color is {a}?",
        "What color does {a} have?",
        "Tell me the color of {a}.",
        "What colour is {a}?",
        "What is the main color of {a}?",
        "Name the color of {a}.",
        "{a}: which color?",
    ),
    ("Which color does {a} have?", "Can you tell me the color of {a}?", "What color is most of {a}?"),
)

POSITION = Wording(
    (
        "Where is {a}?",
        "Where is {a} in the picture?",
        "Where in the image is {a}?",
        "In which part of the picture is {a}?",
        "What is the position of {a}?",
        "Where can I find {a}?",
        "Tell me where {a} is.",
        "Whereabouts is {a}?",
        "Which part of the image is {a} in?",
        "Where is {a} located?",
        "What's the location of {a}?",
    ),
    ("In what part of the image is {a}?", "Where do you see {a}?", "Where in the picture is {a}?"),
)

SIZE = Wording(
    (
        "Is {a} large or small?",
        "Is {a} small or large?",
        "Is {a} big or small?",
        "How big is {a}?",
        "How large is {a} in the picture?",
        "What size is {a}?",
        "What is the size of {a}?",
        "Does {a} look large or small?",
        "How big is {a} in the image?",
    ),
    ("Is {a} small or big?", "What size does {a} have in the picture?", "How large is {a}?"),
)

KIND = Wording(
    (
        "What kind of thing is {a}?",
        "What type of thing is {a}?",
        "What kind of object is {a}?",
        "What sort of thing is {a}?",
        "To what category does {a} belong?",
        "In which category would you put {a}?",
        "What kind of thing is that in {a}?",
        "What type of object is {a}?",
        "Which kind of thing is {a}?",
    ),
    ("What category does {a} belong to?", "What sort of object is {a}?", "Which type of thing is {a}?"),
)

CATEGORY = Wording(
    (
        "Is {a} {x}?",
        "Does {a} show {x}?",
        "Would you say {a} is {x}?",
        "Is that in {a} {x}?",
        "Is there {x} in {a}?",
        "Is the thing in {a} {x}?",
        "{a}: is it {x}?",
        "Can {a} be called {x}?",
    ),
    ("Can you see {x} in {a}?", "Is what you see in {a} {x}?", "Would {a} count as {x}?"),
)

YES_NO_NAME = Wording(
    (
        "Is {a} {x}?",
        "Is {a} {x}?",
        "Is that {x} in {a}?",
        "Does {a} show {x}?",
        "Is this {x}? {a}",
        "Is it right that {a} is {x}?",
        "Would you say that {a} is {x}?",
        "I think {a} is {x}. Am I right?",
        "Could {a} be {x}?",
        "{a} is {x}, isn't it?",
        "Is there {x} in {a}?",
        "Is the thing in {a} {x}?",
        "Do you think {a} is {x}?",
        "Can you confirm that {a} is {x}?",
        "{a} looks like {x}. Is it?",
        "I would say {a} is {x}. Is that right?",
        "So {a} is {x}?",
    ),
    (
        "Am I right that {a} is {x}?",
        "Do you see {x} in {a}?",
        "Is {a} really {x}?",
        "Tell me, is {a} {x}?",
    ),
)

YES_NO_COLOR = Wording(
    (
        "Is {a} {color}?",
        "Is {a} {color}?",
        "Is the color of {a} {color}?",
        "Does {a} look {color}?",
        "Would you say that {a} is {color}?",
        "{a} is {color}, isn't it?",
        "Is most of {a} {color}?",
        "Is {a} mostly {color}?",
        "Do you agree that {a} is {color}?",
        "Is it correct that {a} is {color}?",
        "Is it the case that {a} is {color}?",
        "I think {a} is {color}. Is that right?",
        "Tell me whether {a} is {color}.",
    ),
    ("Is {color} the color of {a}?", "Am I right that {a} is {color}?", "Is it true that {a} is {color}?"),
)

YES_NO_PLACE = Wording(
    (
        "Is {a} {place}?",
        "Is {a} {place} of the picture?",
        "Is {a} {place} of the image?",
        "Would you say that {a} is {place}?",
        "Is it right that {a} is {place}?",
        "{a} is {place}, isn't it?",
        "Can {a} be found {place}?",
        "Is {a} located {place} of the image?",
        "Do you agree that {a} is {place}?",
        "Is it correct that {a} is {place}?",
        "Is it the case that {a} is {place}?",
        "Could you check whether {a} is {place} of the picture?",
        "I think {a} is {place}. Is that right?",
        "Do you find {a} {place} of the picture?",
        "Can you see {a} {place}?",
    ),
    ("Am I right that {a} is {place}?", "Is it true that {a} is {place}?", "Do you see {a} {place} of the picture?"),
)

WHY = Wording(
    (
        "Why do you think {a} is {x}?",
        "Why is {a} {x}?",
        "How do you know that {a} is {x}?",
        "What makes you think {a} is {x}?",
        "How can you tell that {a} is {x}?",
        "Why would you call {a} {x}?",
        "Explain why {a} is {x}.",
        "Why do you say {a} is {x}?",
        "What tells you that {a} is {x}?",
        "How come {a} is {x}?",
        "For what reason do you call {a} {x}?",
        "What about {a} says that it is {x}?",
        "How did you find out that {a} is {x}?",
        "How do you recognize that {a} is {x}?",
        "What is it that makes {a} look like {x}?",
        "On what grounds is {a} {x}?",
    ),
    ("Why do you believe that {a} is {x}?", "What makes {a} {x}?", "How did you see that {a} is {x}?"),
)

WHY_NEXT = Wording(
    (
        "Why?",
        "Why do you think so?",
        "How do you know?",
        "How can you tell?",
        "What makes you think so?",
        "Why do you say that?",
        "Can you explain why?",
        "why is that?",
        "Explain.",
    ),
    ("How do you know that?", "Why do you believe that?", "What makes you say that?"),
)

SURE_NEXT = Wording(
    (
        "Are you sure?",
        "Are you certain?",
        "Really?",
        "Are you sure about that?",
        "Is that certain?",
        "Can you be sure?",
        "Are you really sure?",
        "You are sure?",
    ),
    ("Do you know for certain?", "Are you quite sure?", "Is that for sure?"),
)

AND_NEXT = Wording(
    (
        "And {b}?",
        "And {b}?",
        "What about {b}?",
        "How about {b}?",
        "And what about {b}?",
        "Now {b}.",
        "Same question for {b}.",
        "{b}?",
        "And for {b}?",
    ),
    ("Now the same for {b}?", "And how about {b}?", "And {b}, then?"),
)

RELATION = Wording(
    (
        "Where is {a} relative to {b}?",
        "Where is {a} relative to {b}?",
        "Where is {a} compared to {b}?",
        "Where is {a} as seen from {b}?",
        "What is the position of {a} relative to {b}?",
        "How is {a} placed relative to {b}?",
        "On which side of {b} is {a}?",
        "Where does {a} lie with respect to {b}?",
        "Where is {a} from {b}?",
        "In which direction from {b} is {a}?",
        "Tell me where {a} is relative to {b}.",
        "Seen from {b}, where is {a}?",
        "Describe where {a} is, seen from {b}.",
        "Is {a} left, right, above or below of {b}?",
        "Where do I find {a} if I look from {b}?",
        "How is {a} located in relation to {b}?",
    ),
    ("Where is {a} with respect to {b}?", "Which side of {b} is {a} on?", "How does {a} lie relative to {b}?"),
)

YES_NO_RELATION = Wording(
    (
        "Is {a} {side} {b}?",
        "Is {a} {side} {b}?",
        "Is {a} located {side} {b}?",
        "Would you say that {a} is {side} {b}?",
        "Is it right that {a} is {side} {b}?",
        "{a} is {side} {b}, isn't it?",
        "Can {a} be found {side} {b}?",
        "Does {a} lie {side} {b}?",
        "Do you think {a} is {side} {b}?",
        "Does {a} appear {side} {b}?",
        "Is {a} placed {side} {b}?",
        "Can you confirm that {a} is {side} {b}?",
        "I think {a} is {side} {b}. Is that right?",
        "I believe that {a} is {side} {b}. Correct?",
        "Is it correct that {a} is {side} {b}?",
        "Can it be said that {a} is {side} {b}?",
        "Would I be right to say that {a} is {side} {b}?",
        "It seems that {a} is {side} {b}. Is it so?",
        "Tell me whether {a} is {side} {b}.",
        "Check if {a} is {side} {b}.",
        "{a} is {side} {b}, right?",
        "Is {a} {side} {b}, yes or no?",
        "So {a} is {side} {b}?",
        "Can you see {a} {side} {b}?",
        "Do you agree that {a} is {side} {b}?",
        "Would you agree that {a} is {side} {b}?",
        "Is it a fact that {a} is {side} {b}?",
        "Is it the case that {a} is {side} {b}?",
        "Do I see it right that {a} is {side} {b}?",
        "Could you check whether {a} is {side} {b}?",
        "Do you find {a} {side} {b}?",
        "Do you notice {a} {side} {b}?",
        "Surely {a} is {side} {b}?",
    ),
    ("Am I right that {a} is {side} {b}?", "Is it true that {a} is {side} {b}?", "Do you see {a} {side} {b}?"),
)

BIGGER = Wording(
    (
        "Which is bigger, {a} or {b}?",
        "Which one is bigger, {a} or {b}?",
        "Which is larger, {a} or {b}?",
        "Which region is bigger: {a} or {b}?",
        "What is bigger, {a} or {b}?",
        "Compare the sizes of {a} and {b}.",
        "How do {a} and {b} compare in size?",
        "Is {a} or {b} bigger?",
        "Which of {a} and {b} is larger?",
        "Who is bigger, {a} or {b}?",
        "Of {a} and {b}, which is the larger?",
        "Which is the bigger one, {a} or {b}?",
        "Between {a} and {b}, which is bigger?",
        "Tell me which is larger, {a} or {b}.",
        "Of the two, {a} and {b}, which is larger?",
        "Which of these two is bigger: {a}, {b}?",
        "Say whether {a} or {b} is bigger.",
        "{a} or {b}: which is the bigger one?",
        "Which takes more room, {a} or {b}?",
    ),
    ("Which of the two is bigger, {a} or {b}?", "Compare {a} and {b} by size.", "Is {a} or {b} the larger one?"),
)

YES_NO_BIGGER = Wording(
    (
        "Is {a} bigger than {b}?",
        "Is {a} bigger than {b}?",
        "Is {a} larger than {b}?",
        "Would you say that {a} is bigger than {b}?",
        "Is the size of {a} bigger than that of {b}?",
        "Does {a} take more room than {b}?",
        "{a} is bigger than {b}, isn't it?",
        "Does {a} look bigger than {b}?",
        "Do you think {a} is bigger than {b}?",
        "So {a} is larger than {b}?",
        "Compared to {b}, is {a} larger?",
        "I think {a} is bigger than {b}. Is that right?",
        "Does {a} cover more of the picture than {b}?",
        "Can you confirm that {a} is larger than {b}?",
        "I believe that {a} is larger than {b}. Correct?",
        "Is it correct that {a} is bigger than {b}?",
        "Would I be right to say that {a} is larger than {b}?",
        "It seems that {a} is bigger than {b}. Is it so?",
        "Tell me whether {a} is bigger than {b}.",
        "Check if {a} is larger than {b}.",
        "Is {a} bigger than {b}, yes or no?",
        "Is {a} of a bigger size than {b}?",
        "Do you agree that {a} is bigger than {b}?",
        "Is it the case that {a} is larger than {b}?",
        "Could you check whether {a} is bigger than {b}?",
        "Do I see it right that {a} is bigger than {b}?",
    ),
    (
        "Am I right that {a} is bigger than {b}?",
        "Is {a} the bigger one, compared to {b}?",
        "Does {a} look larger than {b}?",
    ),
)

SMALLER = Wording(
    (
        "Which is smaller, {a} or {b}?",
        "Which one is smaller, {a} or {b}?",
        "Which region is smaller: {a} or {b}?",
        "Is {a} or {b} smaller?",
        "Which of {a} and {b} is smaller?",
        "Between {a} and {b}, which is smaller?",
        "Which takes less room, {a} or {b}?",
    ),
    (
        "Which of the two is smaller, {a} or {b}?",
        "Is {a} or {b} the smaller one?",
        "Compare {a} and {b}: which is smaller?",
    ),
)

YES_NO_SMALLER = Wording(
    (
        "Is {a} smaller than {b}?",
        "Would you say that {a} is smaller than {b}?",
        "Compared to {b}, is {a} smaller?",
        "Does {a} take less room than {b}?",
        "{a} is smaller than {b}, isn't it?",
        "Does {a} look smaller than {b}?",
        "I think {a} is smaller than {b}. Is that right?",
        "Is it correct that {a} is smaller than {b}?",
        "Would I be right to say that {a} is smaller than {b}?",
        "Tell me whether {a} is smaller than {b}.",
        "Is {a} smaller than {b}, yes or no?",
    ),
    (
        "Am I right that {a} is smaller than {b}?",
        "Is {a} the smaller one, compared to {b}?",
        "Is it true that {a} is smaller than {b}?",
    ),
)

COMPARE = Wording(
    (
        "How do {a} and {b} differ?",
        "What is the difference between {a} and {b}?",
        "What's the difference between {a} and {b}?",
        "Compare {a} and {b}.",
        "Please compare {a} with {b}.",
        "How is {a} different from {b}?",
        "What distinguishes {a} from {b}?",
        "In what do {a} and {b} differ?",
        "Tell me how {a} differs from {b}.",
        "Compare {a} to {b}.",
    ),
    ("What makes {a} different from {b}?", "How does {a} differ from {b}?", "Can you compare {a} and {b}?"),
)

BOTH = Wording(
    (
        "What are {all}?",
        "What are {all}?",
        "Name {all}.",
        "Identify {all}.",
        "What is in {all}?",
        "Tell me what {all} are.",
        "What can you see in {all}?",
        "What do {all} show?",
        "Can you name {all}?",
        "Please tell me what {all} are.",
        "{all}: what are they?",
        "Which objects are {all}?",
        "What objects are {all}?",
        "Which objects do you see in {all}?",
        "Say what {all} are.",
        "Which things can be seen in {all}?",
    ),
    ("Which things are {all}?", "Could you name {all}?", "What do you see in {all}?"),
)

SAME = Wording(
    (
        "Are {a} and {b} the same kind of thing?",
        "Are {a} and {b} the same?",
        "Are {a} and {b} the same thing?",
        "Is {a} the same as {b}?",
        "Do {a} and {b} show the same thing?",
        "Do {a} and {b} show the same kind of thing?",
        "Are both {a} and {b} the same thing?",
        "Is {a} the same kind of thing as {b}?",
        "Are {a} and {b} alike?",
        "Would you say that {a} and {b} are the same?",
        "Are the things in {a} and {b} the same?",
        "Is there the same thing in both {a} and {b}?",
    ),
    ("Do {a} and {b} belong to the same kind?", "Is it the same thing in {a} and {b}?", "Are {a} and {b} of one kind?"),
)

COUNT = Wording(
    (
        "How many of {all} are {xs}?",
        "How many of {all} are {xs}?",
        "Of {all}, how many are {xs}?",
        "How many {xs} are among {all}?",
        "How many {xs} are there in {all}?",
        "Count the {xs} in {all}.",
        "How many of these are {xs}: {all}?",
        "How many of {all} show {xs}?",
        "{all}: how many of them are {xs}?",
        "Looking at {all}, how many are {xs}?",
        "Tell me how many of {all} are {xs}.",
        "How many are {xs}: {all}?",
    ),
    ("Among {all}, how many are {xs}?", "How many {xs} do you see in {all}?", "Count how many of {all} are {xs}."),
)

CHOOSE_NAME = Wording(
    (
        "Which of {all} is {x}?",
        "Which of {all} is {x}?",
        "Which of {all} shows {x}?",
        "Which one is {x}: {any}?",
        "Where is {x}: {any}?",
        "In which of {all} is {x}?",
        "Which region is {x}, {any}?",
        "Of {all}, which is {x}?",
        "Is there {x} in {all}? Which one?",
        "Pick {x} from {all}.",
        "Which one among {all} is {x}?",
        "Tell me which of {all} is {x}.",
    ),
    ("Out of {all}, which one is {x}?", "Find {x} among {all}.", "Which one of {all} is {x}?"),
)

CHOOSE_COLOR = Wording(
    (
        "Which of {all} is {color}?",
        "Which of {all} is {color}?",
        "Which one is {color}: {any}?",
        "Which region is {color}, {any}?",
        "Of {all}, which is {color}?",
        "Which of {all} has the color {color}?",
        "Which of {all} looks {color}?",
        "Which of {all} is mostly {color}?",
        "Pick the {color} one of {all}.",
        "Which one among {all} is {color}?",
        "Tell me which of {all} is {color}.",
    ),
    ("Out of {all}, which one is {color}?", "Find the {color} one among {all}.", "Which one of {all} is {color}?"),
)

CHOOSE_MOST = Wording(
    (
        "Which of {all} is {most}?",
        "Which of {all} is {most}?",
        "Which one is {most}: {any}?",
        "Which region is {most}, {any}?",
        "Of {all}, which is {most}?",
        "Which one of these is {most}: {any}?",
        "What is {most}, {any}?",
        "Tell me which of {all} is {most}.",
        "Looking at {all}, which one is {most}?",
        "Which one among {all} is {most}?",
        "Tell me which one is {most}: {any}.",
    ),
    ("Out of {all}, which one is {most}?", "Among {all}, which is {most}?", "Which one of {all} is {most}?"),
)

ORDER_NEXT = Wording(
    (
        "Which of them is {more}?",
        "Which one is {more}?",
        "Which is {more}?",
        "Which of the two is {more}?",
        "And which is {more}?",
        "Which of these is {more}?",
        "Which one of them is {more}?",
        "Tell me which one is {more}.",
    ),
    ("And which of the two is {more}?", "Of the two, which is {more}?", "So which one is {more}?"),
)

MISSING = Wording(
    (
        "What is {absent}?",
        "What is {absent}?",
        "And {absent}?",
        "What about {absent}?",
        "What color is {absent}?",
        "Where is {absent}?",
        "Describe {absent}.",
        "Name {absent}.",
        "What can you see in {absent}?",
        "How big is {absent}?",
    ),
    ("Could you describe {absent}?", "Do you know what {absent} is?", "Which color does {absent} have?"),
)

MISSING_NAME = Wording(
    (
        "Is {absent} {x}?",
        "Does {absent} show {x}?",
        "Could {absent} be {x}?",
        "Is there {x} in {absent}?",
        "Is that {x} in {absent}?",
        "So {absent} is {x}?",
        "Do you think {absent} is {x}?",
    ),
    ("Am I right that {absent} is {x}?", "Do you see {x} in {absent}?", "Tell me, is {absent} {x}?"),
)

IMAGE = Wording(
    (
        "What is in the picture?",
        "What is in the image?",
        "Describe the picture.",
        "Describe the image.",
        "What do you see?",
        "What can you see in the picture?",
        "What is this picture about?",
        "What is shown here?",
        "What's in this photo?",
        "What does the photo show?",
        "Tell me about this image.",
        "What are the main things in the picture?",
        "what is this",
    ),
    ("What can be seen in this photo?", "What does the image show?", "Could you describe the photo?"),
)

BEYOND = Wording(
    (
        "What is {a} doing?",
        "How old is {a}?",
        "What is {a} made of?",
        "Who made {a}?",
        "How much does {a} weigh?",
        "What brand is {a}?",
        "What does the text on {a} say?",
        "What is written on {a}?",
        "Who is the owner of {a}?",
        "How much does {a} cost?",
        "Is {a} happy?",
        "When was {a} made?",
        "What does {a} weigh?",
        "Is {a} heavy?",
        "What did {a} cost?",
        "Is {a} expensive?",
        "How much would I pay for {a}?",
        "Whose is {a}?",
        "Who owns {a}?",
        "Who has bought {a}?",
        "Where was {a} made?",
        "Where does {a} come from?",
        "Which company makes {a}?",
        "In which year was {a} made?",
        "What is the age of {a}?",
        "Is {a} new or old?",
        "What does {a} smell like?",
        "How does {a} taste?",
        "What does {a} feel like?",
        "How warm is {a}?",
        "What is the temperature of {a}?",
        "How fast is {a}?",
        "How strong is {a}?",
        "How tall is {a} in meters?",
        "What sound does {a} make?",
        "What is {a} thinking?",
        "What will {a} do next?",
        "Is {a} hungry?",
        "Does {a} work?",
        "Is {a} broken?",
        "What is inside {a}?",
        "What is behind {a}?",
        "How long has {a} been there?",
        "Who took the picture of {a}?",
    ),
    ("What is the price of {a}?", "How heavy is {a}?", "Who does {a} belong to?"),
)

GREETING = Wording(
    ("Hello", "Hi", "Hello!", "Hi there!", "Good morning", "Hey", "hello, who are you?", "Hi, can you help me?"),
    ("Hello there", "Good evening!", "Hey there"),
)

HELP = Wording(
    (
        "What can you do?",
        "How does this work?",
        "How do I use this?",
        "What can I ask?",
        "Help",
        "What should I ask you?",
        "What do you know?",
        "How can you help me?",
    ),
    ("What are you able to do?", "What questions can I ask?", "How can I use you?"),
)

THANKS = Wording(
    (
        "Thanks",
        "Thank you!",
        "Thank you.",
        "Great, thanks!",
        "ok thanks",
        "Thanks a lot!",
        "Cool, thank you",
        "Good job",
    ),
    ("Many thanks!", "Thank you very much.", "Nice, thanks"),
)
