"""utter import: one file that speaks like the model it came from, reports, refusals."""
import json
import os
import resource

from program import HOUSE, MULTI, TINY, IDS, ProgramTest, main


class Import(ProgramTest):
    def speak(self, model, *args):
        self.ok("speak", "-m", model, "--ids", IDS, "-o", "o.wav", *args)
        return self.samples("o.wav")

    def test_sounds_the_same(self):
        for model in TINY, HOUSE:
            self.ok("import", model, "-o", "new.gguf")
            self.same(self.speak("new.gguf"), self.speak(model))
        self.ok("import", MULTI, "-o", "new.gguf")
        self.same(self.speak("new.gguf", "-v", "spk2"), self.speak(MULTI, "-v", "spk2"))

    def test_half(self):
        whole = json.loads(self.ok("import", TINY, "-o", "f32.gguf", "--json").stdout)
        for name in "f16", "bf16":
            half = json.loads(self.ok("import", TINY, "-o", name + ".gguf", "--type", name, "--json").stdout)
            self.assertEqual(half["type"], name)
            self.assertLess(half["bytes_out"], 0.8 * whole["bytes_out"])
            self.assertGreater(len(self.speak(name + ".gguf")), 1000)

    def test_reports(self):
        answer = json.loads(self.ok("import", MULTI, "-o", "new.gguf", "--json").stdout)
        self.assertEqual((answer["output"], answer["family"], answer["type"], answer["voices"]),
                         ("new.gguf", "piper", "f32", 3))
        self.assertEqual(answer["bytes_out"], os.path.getsize(self.path("new.gguf")))
        self.assertEqual(answer["bytes_in"], os.path.getsize(MULTI))
        self.assertIn("new.gguf: piper", self.ok("import", MULTI, "-o", "new.gguf").stderr.decode())
        self.assertEqual(self.ok("import", MULTI, "-o", "new.gguf", "-q").stderr, b"")
        self.assertIn("gguf", self.ok("info", "new.gguf").stdout.decode())
        self.assertIn("spk1", self.ok("voices", "new.gguf").stdout.decode())

    def test_usage(self):
        self.fails(2, "a model to read is needed", "import", "-o", "new.gguf")
        self.fails(2, "where to?", "import", TINY)
        self.fails(2, "one model at a time", "import", TINY, MULTI, "-o", "new.gguf")
        self.fails(2, ["--type", "f32, f16, bf16"], "import", TINY, "-o", "new.gguf", "--type", "q4")

    def test_refusals(self):
        self.fails(1, "no_such.onnx", "import", "no_such.onnx", "-o", "new.gguf")
        self.fails(1, "is a Piper voice", "import", TINY, "-o", "new.gguf", "--voices", "a*")
        self.fails(1, "no_such/new.gguf", "import", TINY, "-o", "no_such/new.gguf")
        os.symlink(TINY, self.path("link.onnx"))
        self.fails(1, "is the model itself", "import", TINY, "-o", "link.onnx")
        self.ok("import", TINY, "-o", "new.gguf")
        self.fails(1, "GGUF file already", "import", "new.gguf", "-o", "newer.gguf")

    def test_full_disk_leaves_no_file(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        self.fails(1, "File too large", "import", TINY, "-o", "new.gguf", preexec_fn=limit)


if __name__ == "__main__":
    main()
