# What is used of rclpy itself.
from typing import Any

from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

def init(
    *,
    context: Context | None = None,
    domain_id: int | None = None,
    signal_handler_options: SignalHandlerOptions | None = None,
) -> Any: ...
def shutdown(*, context: Context | None = None) -> None: ...
def create_node(
    node_name: str,
    *,
    context: Context | None = None,
    namespace: str | None = None,
    use_global_arguments: bool = True,
    start_parameter_services: bool = True,
    parameter_overrides: list[Parameter] | None = None,
) -> Node: ...
def spin(node: Node) -> None: ...
