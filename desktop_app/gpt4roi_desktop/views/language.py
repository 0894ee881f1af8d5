"""The window's words in the system's language, where a translation lies beside the program. Has no words itself."""

from importlib import resources
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator

_FOLDER = "translations"


def install(application: QCoreApplication, locale: QLocale | None = None, folder: Path | None = None) -> bool:
    """Use the translation of a language, ours and Qt's own.

    Args:
        application: Gets the words.
        locale: The language; None is the system's.
        folder: Where ``gpt4roi_LANGUAGE.qm`` lie; None is the program's own folder.

    Returns:
        Whether there was one of ours; without, the window speaks English throughout.
    """
    locale = locale or QLocale.system()
    ours = QTranslator(application)
    if not ours.load(locale, "gpt4roi", "_", str(folder or resources.files("gpt4roi_desktop") / _FOLDER)):
        return False
    theirs = QTranslator(application)
    if theirs.load(locale, "qtbase", "_", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)):
        application.installTranslator(theirs)
    return application.installTranslator(ours)
