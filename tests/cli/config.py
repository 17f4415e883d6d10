"""Settings from files and the environment, as the commands see them: which file is read, what comes first,
a folder with two formats, the fallback chain under each setting."""
import json
import os
import shutil

from program import DATA, HOUSE, IDS, KOKORO, MULTI, TINY, ProgramTest, main, needs_espeak

FAKE = os.environ["UT_FAKE_ORT"]
NONE = "/nonexistent/libonnxruntime.so"


class ConfigTest(ProgramTest):
    def setUp(self):
        super().setUp()
        self.env = {name: value for name, value in os.environ.items()
                    if not name.startswith(("UTTER_", "GGUF_", "XDG_"))}
        self.env["HOME"] = self.folder

    def write(self, name, settings):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        return self.put(name, json.dumps(settings).encode())

    def settings(self, *args, **variables):
        out = self.ok("config", "--json", *args, env={**self.env, **variables}).stdout
        return json.loads(out)

    def value(self, name, *args, **variables):
        entry = self.settings(*args, **variables)["settings"][name]
        return entry["value"], entry["from"]

    def speak(self, *args, code=0, **variables):
        """The report of speaking the ids, and what was said on standard error."""
        result = self.run_utter("speak", "--ids", IDS, "-o", "o.wav", "--json", *args, env={**self.env, **variables})
        self.assertEqual(result.returncode, code, result.stderr)
        return json.loads(result.stdout) if code == 0 else None, result.stderr.decode()


class Files(ConfigTest):
    def test_none(self):
        self.assertIsNone(self.settings()["file"])
        out = self.ok("config", env=self.env).stdout.decode()
        self.assertRegex(out, r"file: none\n\nmodel +-\n")
        self.assertRegex(out, r"\ninference_backend +auto\n")

    def test_which_is_read(self):
        home = self.write(".config/utter/config.json", {"threads": 1})
        self.assertEqual(self.settings()["file"], home)
        xdg = self.write("xdg/utter/config.json", {"threads": 2})
        self.assertEqual(self.settings(XDG_CONFIG_HOME=self.path("xdg"))["file"], xdg)
        self.assertEqual(self.settings(XDG_CONFIG_HOME="xdg")["file"], home) # relative ones do not count
        named = self.write("named.json", {"threads": 3})
        variables = {"XDG_CONFIG_HOME": self.path("xdg"), "UTTER_CONFIG": named}
        self.assertEqual(self.settings(**variables)["file"], named)
        self.assertEqual(self.settings("--config", home, **variables)["file"], home)
        self.assertIsNone(self.settings(UTTER_CONFIG="")["file"])
        self.assertIsNone(self.settings("--config", "", **variables)["file"])

    def test_table(self):
        self.write(".config/utter/config.json", {"threads": 1, "voice": "a"})
        out = self.ok("config", "--speaker", "2", env={**self.env, "GGUF_MEMORY_LIMIT": "100"}).stdout.decode()
        self.assertRegex(out, r"\nthreads +1 +file, threads\n")
        self.assertRegex(out, r"\nmemory_limit +100M +environment, GGUF_MEMORY_LIMIT\n")
        self.assertRegex(out, r"\nspeaker +2 +flag, --speaker\n")
        self.assertRegex(out, r"\nvoice +- +file, voice: a, not used: the other of voice and speaker is given\n")

    def test_what_is_wrong(self):
        self.fails(2, "nothing.json", "config", "--config", "nothing.json")
        self.fails(2, ["the settings", "Is a directory"], "config", "--config", ".")
        self.put("large.json", b" " * (2 << 20))
        self.fails(2, "larger than 1 MiB", "config", "--config", "large.json")
        self.put("zero.json", b"{}\0")
        self.fails(2, "zero byte", "config", "--config", "zero.json")
        self.put("bad.json", b'{"threads":\n"x"}')
        self.fails(2, "bad.json: threads: \"x\"", "speak", "Hi.", "-o", "a.wav", "--config", "bad.json")
        self.fails(2, "UTTER_SPEED: \"x\"", "speak", "Hi.", "-o", "a.wav", env={**self.env, "UTTER_SPEED": "x"})
        self.fails(2, "--speed: \"x\"", "config", "--speed", "x")
        self.fails(2, "--set", "config", "--set", "x=1")
        self.fails(2, "given as options", "config", "x")
        self.ok("speak", "--help", "--config", "bad.json") # help is given whatever the file says

    def test_warnings(self):
        self.write("c.json", {"treads": 1})
        message = self.ok("config", "--config", "c.json", env=self.env).stderr.decode()
        self.assertIn('utter: warning: c.json: there is no setting "treads"; did you mean "threads"?', message)


class Order(ConfigTest):
    def test_every_order(self):
        self.write("c.json", {"speed": 2, "inference_backend": "onnx", "mlock": True})
        file = ["--config", "c.json"]
        self.assertEqual(self.value("speed"), ("1", "default"))
        self.assertEqual(self.value("speed", *file), ("2", "file"))
        self.assertEqual(self.value("speed", *file, UTTER_SPEED="3"), ("3", "environment"))
        self.assertEqual(self.value("speed", *file, "--speed", "4", UTTER_SPEED="3"), ("4", "flag"))
        self.assertEqual(self.value("mlock", *file, UTTER_MLOCK="no"), ("false", "environment"))
        self.assertEqual(self.value("mlock", *file, "--set", "mlock=off"), ("false", "flag"))

    def test_it_is_heard(self):
        self.write("c.json", {"model": MULTI, "speaker": 1, "speed": 0.5})
        slow = self.speak("--config", "c.json")[0]
        fast = self.speak("--config", "c.json", "--speed", "2")[0]
        self.assertEqual((slow["voice"], slow["backend"]), ("tiny_multi", "native"))
        self.assertGreater(slow["samples"], 1.5 * fast["samples"])
        # Another model on the line: the file's speaker is not for it.
        other = self.speak("--config", "c.json", "-m", TINY)[0]
        self.assertEqual(other["voice"], "tiny")
        self.fails(1, "has no speaker", "speak", "-m", TINY, "--ids", IDS, "-o", "x.wav", "--speaker", "9")

    def test_commands_that_are_about_a_file(self):
        self.write("c.json", {"model": MULTI, "threads": 2})
        config = ["--config", "c.json"]
        self.assertIn("tiny_multi", self.ok("info", *config).stdout.decode())
        self.assertNotIn("tiny_multi", self.ok("info", TINY, *config).stdout.decode())
        self.assertEqual(len(self.ok("voices", *config).stdout.split()), 6)
        report = json.loads(self.ok("backends", "--json", *config).stdout)
        self.assertFalse(any(b["loaded"] for b in report)) # only -m loads one
        self.assertEqual(report[0]["threads"], 2)

    def test_format(self):
        self.write("c.json", {"model": TINY, "format": "pcm"})
        self.ok("speak", "--ids", IDS, "-o", "a", "--config", "c.json")
        self.ok("speak", "--ids", IDS, "-o", "a.wav", "--config", "c.json")
        self.ok("speak", "--ids", IDS, "-o", "b", "--config", "c.json", "--format", "wav")
        self.assertNotEqual(self.get("a")[:4], b"RIFF")
        self.assertEqual(self.get("a.wav")[:4], b"RIFF")
        self.assertEqual(self.get("b")[:4], b"RIFF")


class Chain(ConfigTest):
    """A folder with one voice as ONNX and as GGUF."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("both"))
        for name in "tiny.onnx", "tiny.onnx.json":
            shutil.copy(f"{DATA}/piper/{name}", self.path("both"))
        self.ok("import", TINY, "-o", "both/tiny.gguf")

    def chain(self, settings, *args, code=0):
        self.write("c.json", {"model": "both", "onnxruntime": FAKE, **settings})
        report, said = self.speak("--config", "c.json", *args, code=code)
        return (report and report["backend"], said)

    def format(self, settings):
        self.write("c.json", {"model": "both", "onnxruntime": FAKE, **settings})
        answer = json.loads(self.ok("info", "--json", "--config", "c.json", env=self.env).stdout)
        return answer["backend"], answer["format"]

    def test_which_is_taken(self):
        self.assertEqual(self.format({}), ("native", "gguf"))
        self.assertEqual(self.format({"preferred_backend": "gguf"}), ("native", "gguf"))
        self.assertEqual(self.format({"preferred_backend": "onnx"}), ("onnx", "onnx"))
        self.assertEqual(self.format({"inference_backend": "onnx"}), ("onnx", "onnx"))
        self.assertEqual(self.format({"inference_backend": "gguf", "preferred_backend": "onnx"}), ("native", "gguf"))
        shutil.copy(f"{HOUSE}/voice.safetensors", self.path("both/other.gguf")) # now not all are one model
        self.assertEqual(self.format({"preferred_backend": "onnx"}), ("onnx", "onnx"))

    def test_without_the_library(self):
        settings = {"preferred_backend": "onnx", "onnxruntime": NONE}
        backend, said = self.chain(settings)
        self.assertEqual(backend, "native")
        self.assertIn("warning: ONNX Runtime cannot be loaded", said)
        self.assertIn("speaking with native (tiny) instead", said)
        _, said = self.chain({**settings, "enable_backend_fallback": False}, code=1)
        self.assertIn("error: ONNX Runtime cannot be loaded", said)
        # The file forbids it, the line allows it.
        self.assertEqual(self.chain({**settings, "enable_backend_fallback": False},
                                    "--set", "enable_backend_fallback=true")[0], "native")

    def test_damaged_files(self):
        self.put("both/tiny.gguf", b"GGUF and nothing behind it")
        backend, said = self.chain({})
        self.assertEqual(backend, "native") # from the ONNX file
        self.assertIn("tiny.gguf", said)
        self.assertIn("speaking with native (tiny) instead", said)
        self.chain({"enable_backend_fallback": False}, code=1)
        self.assertEqual(self.chain({"preferred_backend": "onnx", "enable_backend_fallback": False})[0], "onnx")
        self.put("both/tiny.onnx", b"\x08\x08\x12\x04test\xff\xff\xff\xff\xff\xff\xff\xff")
        self.chain({"preferred_backend": "onnx", "enable_backend_fallback": False}, code=1)

    @needs_espeak
    def test_at_the_end_espeak(self):
        self.put("both/tiny.gguf", b"GGUF and nothing behind it")
        self.put("both/tiny.onnx", b"\x08\x08\x12\x04test\xff\xff\xff\xff\xff\xff\xff\xff")
        self.write("c.json", {"model": "both", "preferred_backend": "onnx", "onnxruntime": FAKE})
        result = self.ok("speak", "--config", "c.json", "Hello.", "-o", "a.wav", env=self.env)
        self.assertIn("speaking with espeak (en-us) instead", result.stderr.decode())

    def test_a_memory_limit_of_the_file(self):
        self.write("c.json", {"model": TINY, "memory_limit": "200K", "enable_backend_fallback": False})
        _, said = self.speak("--config", "c.json", code=1)
        self.assertIn("the memory limit of", said)


class Kokoro(ConfigTest):
    @needs_espeak
    def test_voice_and_language(self):
        self.write("c.json", {"model": KOKORO, "voice": "bm_synth"})
        self.ok("speak", "--config", "c.json", "Hello.", "-o", "a.wav")
        self.ok("speak", "-m", KOKORO, "-v", "bm_synth", "Hello.", "-o", "b.wav")
        self.same(self.get("a.wav"), self.get("b.wav"))
        self.ok("speak", "--config", "c.json", "--speaker", "0", "Hello.", "-o", "c.wav")
        self.different(self.get("a.wav"), self.get("c.wav"))


if __name__ == "__main__":
    main()
