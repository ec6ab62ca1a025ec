"""From chunks to commands: validation, playing, blending, limits. Pure; the node around it is
`xlvla_drivers.nodes.motion`.
"""
