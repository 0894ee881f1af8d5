"""What a person asks: a question, one about every box, a session once more. Checked here, answered in ``answering``."""

from gpt4roi_desktop import replay, surveys, talk
from gpt4roi_desktop.answering import Answering
from gpt4roi_desktop.session import Question, Session, chipped, chips_of
from gpt4roi_desktop.workspace import Workspace
from gpt4roi_runtime.errors import QuestionError
from gpt4roi_runtime.prompt import check_dialogue


class Asking:
    """The questions that join the session.

    Args:
        answering: Goes on as soon as there is one more.
        workspace: Has the session.
    """

    def __init__(self, answering: Answering, workspace: Workspace) -> None:
        self._answering = answering
        self._workspace = workspace

    def ask(self, question: Question) -> int:
        """Ask now, or as soon as photo and model are ready.

        Returns:
            The exchange's id.

        Raises:
            InputError: There is no photo, or the question is empty or holds the model's own words.
        """
        session = self._session()
        question = chipped(question, session)
        numbers = [session.number_of(region_id) for region_id in chips_of(question)]
        check_dialogue([talk.as_text(session, question)], [number for number in numbers if number is not None])
        session, exchange_id = talk.ask(session, question)
        self._go_on_with(session)
        return exchange_id

    def ask_each(self, question: Question) -> int:
        """Ask about every region that is shown, side by side; what is typed meanwhile goes before what has no answer.

        Returns:
            The survey's id.

        Raises:
            InputError: There is no photo or no region that is shown, the question mentions none or several, or it
                holds the model's own words.
        """
        session = self._session()
        question = chipped(question, session)
        session, survey_id = surveys.ask_each(session, question)
        for number, region in enumerate(session.regions, 1):
            if not region.hidden:
                check_dialogue([talk.as_text(session, surveys.about(question, region.id))], [number])
        self._go_on_with(session)
        return survey_id

    def replay(self) -> None:
        """Ask everything that was answered once more, to compare; an older replay is stopped and makes room."""
        self._answering.stop_kind("replay")
        if self._workspace.session is not None:
            self._go_on_with(replay.begin(self._workspace.session))

    def new_dialogue(self) -> None:
        """The next question begins a dialogue of its own."""
        if self._workspace.session is not None:
            self._workspace.replace(talk.begin_dialogue(self._workspace.session))

    def _go_on_with(self, session: Session) -> None:
        self._workspace.replace(session)
        self._answering.go_on()

    def _session(self) -> Session:
        if self._workspace.session is None:
            raise QuestionError("there is no photo to ask about", "Open one first.")
        return self._workspace.session
