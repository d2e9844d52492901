"""Is a host there? Known within ten seconds."""

import queue
import threading
import urllib.error
import urllib.request


def unreachable(url: str, seconds: float = 10) -> str:
    """Why the host of a URL does not answer; empty where it does.

    A thread asks, because looking up a host knows no timeout.
    """
    answers = queue.Queue()
    arguments = (url, seconds, answers)
    threading.Thread(target=_ask, args=arguments, name="kzoo-probe", daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return f"no answer within {seconds:g} seconds"


def _ask(url, seconds, answers):
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=seconds):
            answers.put("")
    except urllib.error.HTTPError:
        answers.put("")  # A refusal is an answer.
    except urllib.error.URLError as error:
        answers.put(str(error.reason))
    except (OSError, ValueError) as error:
        answers.put(str(error) or type(error).__name__)
