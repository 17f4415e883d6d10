"""The onnx backend in the program, its library the stand-in: options, environment, report. With
UTTER_ONNXRUNTIME set also the real one."""
import json
import os
import unittest

from program import IDS, KOKORO, TINY, ProgramTest, main, needs_espeak

FAKE = os.environ["UT_FAKE_ORT"]
REAL = os.environ.pop("UTTER_ONNXRUNTIME", "")
NONE = "/nonexistent/libonnxruntime.so"


class Onnx(ProgramTest):
    def speak(self, *args, **more):
        return self.ok("speak", "--ids", IDS, "-o", "a.wav", *args, **more)

    def test_option(self):
        self.speak("-m", TINY, "--backend", "onnx", "--onnxruntime", FAKE)
        self.assertEqual(len(self.samples("a.wav")), 2 * 4000)

    def test_environment(self):
        self.speak("-m", TINY, "--backend", "onnx", env={**os.environ, "UTTER_ONNXRUNTIME": FAKE})
        self.assertEqual(len(self.samples("a.wav")), 2 * 4000)
        # The option comes first.
        self.fails(1, NONE, "speak", "-m", TINY, "--backend", "onnx", "--no-fallback", "--onnxruntime", NONE, "--ids",
                   IDS, "-o", "b.wav", env={**os.environ, "UTTER_ONNXRUNTIME": FAKE})

    def test_provider(self):
        self.speak("-m", TINY, "--provider", "cuda", "--onnxruntime", FAKE)
        self.assertEqual(len(self.samples("a.wav")), 2 * 4000)
        self.fails(1, "CoreMLExecutionProvider", "speak", "-m", TINY, "--provider", "coreml", "--no-fallback",
                   "--onnxruntime", FAKE, "--ids", IDS, "-o", "b.wav")
        self.fails(1, "belongs to the onnx backend", "info", TINY, "--backend", "native", "--provider", "cuda")

    def test_report(self):
        report = json.loads(self.ok("backends", "--json", "--onnxruntime", FAKE).stdout)
        onnx = next(b for b in report if b["type"] == "onnx")
        self.assertEqual((onnx["version"], onnx["library"], onnx["available"]), ("1.31.1", FAKE, True))
        self.assertIn("CUDAExecutionProvider", onnx["providers"])
        text = self.ok("backends", "--onnxruntime", FAKE).stdout.decode()
        self.assertIn(f"{FAKE}: CUDAExecutionProvider, CPUExecutionProvider", text)
        text = self.ok("backends", "--onnxruntime", NONE).stdout.decode()
        self.assertRegex(text, f"onnx .* not available .*{NONE}")

    @needs_espeak
    def test_without_the_library(self):
        result = self.ok("speak", "-m", f"{KOKORO}/onnx", "--onnxruntime", NONE, "Hello.", "-o", "a.wav")
        self.assertIn("speaking with espeak", result.stderr.decode())

    @unittest.skipUnless(REAL, "UTTER_ONNXRUNTIME does not name a library")
    def test_real(self):
        env = {**os.environ, "UTTER_ONNXRUNTIME": REAL}
        self.ok("speak", "-m", f"{KOKORO}/onnx", "--ids", "0,50,83,54,0", "-o", "a.wav", "--no-fallback", "--backend",
                "onnx", env=env)
        self.assertGreater(len(self.samples("a.wav")), 600)
        info = json.loads(self.ok("info", f"{KOKORO}/onnx", "--json", env=env).stdout)
        self.assertEqual((info["backend"], info["family"]), ("onnx", "kokoro"))


if __name__ == "__main__":
    main()
