"""What headless browsers have in common, whatever protocol drives them: chromium.py, firefox.py."""
import os, shutil, signal, subprocess, tempfile, time


class Failure(Exception):
    """The browser answered with an error, an exception of the page, or not in time."""


class Headless:
    """A browser's process with its folders. A `profile` is kept, else a new one removed; so are `downloads`."""

    def __init__(self, profile=None, downloads=None):
        self.own = []
        self.profile, self.downloads = profile or self._folder("profile-"), downloads or self._folder("downloads-")
        os.makedirs(self.profile, exist_ok=True)
        self.log = open(os.path.join(self.profile, "log"), "wb")

    def _folder(self, prefix):
        self.own.append(tempfile.mkdtemp(prefix=prefix))
        return self.own[-1]

    def start(self, command, **more):
        """Starts the browser, in a group of processes of its own."""
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True, **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def quit(self):
        """Asks the browser to end."""
        raise NotImplementedError

    def kill(self):
        """Ends the browser as a crash or a loss of power would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self):
        """Ends the browser and removes its own folders."""
        if self.process.poll() is None:
            try:
                self.quit()
                self.process.wait(10)
            except (Failure, OSError, subprocess.TimeoutExpired):
                self.kill()
        self.log.close()
        for folder in self.own:
            shutil.rmtree(folder, ignore_errors=True)


class Page:
    """A tab: what follows from `evaluate` and `png`."""

    def wait(self, condition, seconds=30):
        """Waits until an expression is true, and returns it."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(condition, seconds=seconds)):
            if time.monotonic() > end:
                raise Failure(f"not so within {seconds} s: {condition}")
            time.sleep(0.05)
        return value

    def screenshot(self, file=None):
        """The tab as PNG, into a file or returned."""
        data = self.png()
        if file is None:
            return data
        with open(file, "wb") as f:
            f.write(data)
