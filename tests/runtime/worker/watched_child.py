"""The model's process as it is, but that it fails a request that finds a sequence of an earlier one in the KV cache."""

from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.worker.child import PipelineModel, serve


class WatchedModel(PipelineModel):
    """Looks before every question."""

    def knows(self, image: int) -> bool:
        decoder = self.pipeline.decoder
        assert isinstance(decoder, LlamaCppDecoder)
        lengths = decoder.sequence_lengths()
        if any(lengths[1:]):
            raise RuntimeError(f"left in the cache: {lengths}")
        return super().knows(image)


if __name__ == "__main__":
    serve(WatchedModel.open)
