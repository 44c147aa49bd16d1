"""How every command reads its arguments and writes its help page."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from gancli.errors import GancliError


class Command(TyperCommand):
    """A command whose usage line names its arguments plainly, and whose unexpected arguments get a hint."""

    allow_extra_args = True  # so that parse_args sees them

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Returns the words that are left, none.

        Raises:
            GancliError: there are some.
        """
        try:
            left = super().parse_args(ctx, args)
        except Exception as error:
            if hasattr(error, "ctx"):  # of click, which leaves it out for an option without its value
                error.ctx = ctx
            raise
        if left and not ctx.resilient_parsing:
            takes_data = any("--data" in parameter.opts for parameter in self.params)
            near = f"did you mean --data {left[0]}?" if takes_data else ""
            raise GancliError(f"unexpected argument {left[0]!r}", hint(near, ctx))
        return left

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Returns the words of the usage line after the command: ``[OPTIONS] MODEL [IMAGE]...``."""
        pieces = ["[OPTIONS]"]
        for argument in self.get_params(ctx):
            if argument.param_type_name == "argument":
                name = metavar(argument) if argument.required else f"[{metavar(argument)}]"
                pieces.append(f"{name}..." if argument.nargs == -1 else name)
        return pieces

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the tables of arguments and options."""
        for kind in ("argument", "option"):
            records = [
                (metavar(parameter) if kind == "argument" else record[0], record[1])
                for parameter in self.get_params(ctx)
                if parameter.param_type_name == kind and (record := parameter.get_help_record(ctx)) is not None
            ]
            if records:
                with formatter.section(f"{kind.capitalize()}s"):
                    formatter.write_dl(records)


def metavar(argument: Any) -> str:
    """Returns what a usage line calls an argument."""
    return str(argument.metavar or argument.name.upper())


def hint(near: str, context: Any) -> str:
    """Returns a hint that ends with the help page of the command, or of gancli if ``context`` is None."""
    return f"{near} type `{context.command_path if context else 'gancli'} --help`".strip()
