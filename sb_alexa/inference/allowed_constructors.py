"""The classes that opening a model folder may construct: each by name, none by package."""

from __future__ import annotations

# An exact list, because a package holds more than its models: `torch.hub` downloads code, and a
# name such as `sb_alexa.cli.os.system` begins like one of ours. Constructors on this list only make
# modules of the sizes they are told; none reads a file, runs a program or looks up a name.
ALLOWED_CONSTRUCTORS = frozenset(
    {
        "sb_alexa.encoders.amortized.AmortizedTransformerEncoder",
        "sb_alexa.encoders.conformer.ConformerEncoder",
        "sb_alexa.encoders.conv_rnnt.ConvRNNTEncoder",
        "sb_alexa.encoders.global_cnn.GlobalCNN",
        "sb_alexa.encoders.global_cnn.GlobalCNNBlock",
        "sb_alexa.encoders.local_cnn.LocalCNN",
        "sb_alexa.encoders.rnn.LSTMEncoder",
        "sb_alexa.encoders.separation.SeparationEncoder",
        "sb_alexa.encoders.speaker.SpeakerEncoder",
        "sb_alexa.encoders.transformer.TransformerEncoder",
        "sb_alexa.multitalker.turn_tokens.TurnTokens",
        "sb_alexa.nn.causal_conv.CausalConv1d",
        "sb_alexa.nn.causal_conv2d.CausalConv2d",
        "sb_alexa.nn.cohort_input.CohortInput",
        "sb_alexa.nn.feature_normalization.GlobalNormalization",
        "sb_alexa.nn.feed_forward_arbitrator.FeedForwardArbitrator",
        "sb_alexa.nn.frame_stacking.FrameStacking",
        "sb_alexa.nn.log_mel.LogMel",
        "sb_alexa.nn.lstm.StreamingLSTM",
        "sb_alexa.nn.lstm_block.LSTMBlock",
        "sb_alexa.nn.random_arbitrator.RandomArbitrator",
        "sb_alexa.nn.recurrent_arbitrator.RecurrentArbitrator",
        "sb_alexa.nn.squeeze_excitation.CausalSqueezeExcitation",
        "sb_alexa.streaming.sequential.StreamingSequential",
        "sb_alexa.transducer.beam.BeamSearch",
        "sb_alexa.transducer.channel_search.ChannelSearch",
        "sb_alexa.transducer.greedy.GreedySearch",
        "sb_alexa.transducer.joiner.Joiner",
        "sb_alexa.transducer.lstm_predictor.LSTMPredictor",
        "sb_alexa.transducer.stateless_predictor.StatelessPredictor",
        "speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN",
        "speechbrain.lobes.models.ResNet.ResNet",
        "torch.nn.ELU",
        "torch.nn.GELU",
        "torch.nn.Hardswish",
        "torch.nn.Identity",
        "torch.nn.LeakyReLU",
        "torch.nn.Linear",
        "torch.nn.Mish",
        "torch.nn.ReLU",
        "torch.nn.SiLU",
        "torch.nn.Sigmoid",
        "torch.nn.Softplus",
        "torch.nn.Tanh",
    }
)
